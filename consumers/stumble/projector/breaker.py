"""Separates single bad records from a fault that affects all records; then the partition stops instead.

Records of a stopped partition are neither dropped nor dead-lettered. The partition resumes by itself when its next
record is accepted, or when an operator permits bad records up to an offset. A record that is not counted, such as a
redriven dead letter, changes no count and never stops a partition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: Returns the offset (exclusive) up to which an operator permits bad records of a partition.
    Permit = Callable[[int], int]

#: The share of bad records is computed over the last 2 * _WINDOW records at most, and only if _FEWEST were bad.
_WINDOW = 500
_FEWEST = 100


@dataclass(slots=True)
class _Recent:
    """Counts of one partition's recent records. `open_at`: offset of the record at which the partition stopped."""

    in_a_row: int = 0
    refused_in_a_row: int = 0
    seen: int = 0
    bad: int = 0
    seen_before: int = 0
    bad_before: int = 0
    counted_until: int = 0
    let_through: int = 0
    open_at: int | None = None

    def count(self, *, seen: int, bad: int) -> None:
        self.seen += seen
        self.bad += bad
        if self.seen >= _WINDOW:
            self.seen_before, self.bad_before, self.seen, self.bad = self.seen, self.bad, 0, 0

    def forget(self) -> None:
        self.in_a_row = self.refused_in_a_row = self.seen = self.bad = self.seen_before = self.bad_before = 0
        self.open_at = None


class CircuitBreaker:
    """Counts bad records by partition: `run` in a row, or more than `share` of the last thousand, are too many.

    Only one writer at a time uses a partition and its counts. A projector that gets a partition starts to count from
    zero, unless no other projector has read it in between.
    """

    def __init__(self, run: int, share: float) -> None:
        self._run = run
        self._share = share
        self._recent: dict[int, _Recent] = {}

    def start_at(self, partition: int, offset: int) -> None:
        """Note a partition's start offset; reset its counts if another projector has read some of it in between."""
        recent = self._recent.get(partition)
        if recent is not None and offset > recent.counted_until:
            self._recent.pop(partition, None)

    def watches(self, partition: int) -> bool:
        """Whether a partition had bad records recently."""
        return partition in self._recent

    def check_records(
        self, partition: int, records: Iterable[tuple[int, bool | None]], permit: Permit
    ) -> tuple[int, str] | None:
        """Count records in order; return the offset to stop at and why, or None.

        A record is an offset and whether the record can't be read; None: it is not counted.
        """
        recent = self._recent.setdefault(partition, _Recent())
        for offset, is_bad in records:
            if is_bad is None:
                recent.counted_until = max(recent.counted_until, offset + 1)
                continue
            if recent.open_at is not None and is_bad and not self._let_through(recent, partition, offset, permit):
                return offset, self._why(recent)
            if recent.open_at is not None:
                recent.forget()
            if offset < recent.counted_until:
                continue
            if is_bad and offset >= recent.let_through and self._too_many(recent):
                if not self._let_through(recent, partition, offset, permit):
                    recent.open_at = offset
                    return offset, self._why(recent)
                recent.forget()
            recent.counted_until = offset + 1
            if is_bad and offset < recent.let_through:
                continue
            recent.in_a_row = recent.in_a_row + 1 if is_bad else 0
            recent.count(seen=1, bad=int(is_bad))
        if not recent.bad and not recent.bad_before and not recent.refused_in_a_row:
            self._recent.pop(partition, None)
        return None

    def refused(self, partition: int, offset: int, permit: Permit, *, is_counted: bool = True) -> str | None:
        """Count one record that the store or the rules refuse; return why the partition must stop there, or None."""
        recent = self._recent.setdefault(partition, _Recent())
        if not is_counted:
            recent.counted_until = max(recent.counted_until, offset + 1)
            return None
        if not self._run or recent.refused_in_a_row < self._run or offset < recent.let_through:
            recent.refused_in_a_row += 1
            recent.counted_until = max(recent.counted_until, offset + 1)
            return None
        if self._let_through(recent, partition, offset, permit):
            recent.refused_in_a_row = 1
            return None
        return f"{recent.refused_in_a_row} records in a row cannot be stored"

    def stored(self, partitions: Iterable[int]) -> None:
        """Note that events of these partitions were stored."""
        for partition in partitions:
            if (recent := self._recent.get(partition)) is not None:
                recent.refused_in_a_row = 0

    def _too_many(self, recent: _Recent) -> bool:
        """Whether one more bad record is too many."""
        seen, bad = recent.seen + recent.seen_before, recent.bad + recent.bad_before
        return bool(self._run and recent.in_a_row >= self._run) or (bad >= _FEWEST and bad > self._share * seen)

    def _why(self, recent: _Recent) -> str:
        if self._run and recent.in_a_row >= self._run:
            return f"{recent.in_a_row} records in a row cannot be read"
        seen, bad = recent.seen + recent.seen_before, recent.bad + recent.bad_before
        return f"{bad} of the last {seen} records cannot be read"

    @staticmethod
    def _let_through(recent: _Recent, partition: int, offset: int, permit: Permit) -> bool:
        if offset >= recent.let_through:
            recent.let_through = max(recent.let_through, permit(partition))
        return offset < recent.let_through
