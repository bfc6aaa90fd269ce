"""Where each partition in hand stands: what was taken from Kafka, what the store has, what stands still and why."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RETRY_BLOCKED = 5.0
_RETRY_WAITING = 1.0
_WAITING = "waits to hear where to read from"


@dataclass(slots=True)
class Blocked:
    """A partition that stands still, and when to look whether it can go on."""

    reason: str
    until: float


@dataclass(slots=True)
class AssignedPartitions:
    """By partition: offsets are those that come next."""

    taken: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)
    blocked: dict[int, Blocked] = field(default_factory=dict)
    #: Kafka's time of the last record taken, milliseconds.
    times: dict[int, int] = field(default_factory=dict)
    #: Offsets between which nothing was found at first sight.
    gaps: dict[int, tuple[int, int]] = field(default_factory=dict)

    def place(self, partition: int, offset: int) -> None:
        """Stand at what the store has."""
        self.taken[partition] = self.stored[partition] = offset

    def hold(self, partition: int, reason: str | None) -> None:
        """Let a partition stand still for a while; without a reason of its own it waits for store or broker."""
        wait = _RETRY_WAITING if reason is None else _RETRY_BLOCKED
        self.blocked[partition] = Blocked(reason or _WAITING, time.monotonic() + wait)

    def due(self) -> dict[int, Blocked]:
        """Let those go that have stood still for long enough; returns why they did."""
        now = time.monotonic()
        found = {partition: blocked for partition, blocked in self.blocked.items() if blocked.until <= now}
        for partition in found:
            del self.blocked[partition]
        return found

    def reading(self) -> dict[int, int]:
        """Return the store's offsets of the partitions that don't stand still."""
        return {partition: offset for partition, offset in self.stored.items() if partition not in self.blocked}

    def skips(self, partition: int, offset: int) -> tuple[int, int] | None:
        """Return from where to where a record's offset skips some that were to come, None when it doesn't."""
        taken = self.taken[partition]
        return (taken, offset) if offset > taken else None

    def forget(self, partitions: Iterable[int]) -> None:
        """Know these partitions no longer."""
        for partition in partitions:
            for known in (self.taken, self.stored, self.blocked, self.times, self.gaps):
                known.pop(partition, None)
