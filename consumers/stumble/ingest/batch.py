"""A batch: the records read from some partitions, and the offsets from which and up to which they were read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stumble.ingest.decoding import DecodedEvent
    from stumble.ingest.errors import BadRecordError
    from stumble.wire.kafka_record import KafkaRecord


@dataclass(slots=True)
class OffsetSpan:
    """Offsets of one partition: `start` is the store's offset before the batch, `end` (exclusive) the one after it."""

    start: int
    end: int
    #: When the broker appended the last record in the span, UTC microseconds; None if there is none.
    last_record_at: int | None = None
    #: Kafka's leader epoch of the record before `end`; None if there is no record or no epoch.
    leader_epoch: int | None = None


@dataclass(slots=True, frozen=True)
class BadRecord:
    """A record that goes to the dead letter topic, and why."""

    record: KafkaRecord
    partition: int
    offset: int
    error: BadRecordError

    def __post_init__(self) -> None:
        """Drop the frames of the error's traceback: they refer to this object, so only the garbage collector frees it.

        With the frames and causes a bad record takes up to 4 KB of memory, without them 1 KB.
        """
        cause = self.error.cause
        cause.__cause__ = cause.__context__ = None
        for error in (self.error, cause):
            error.__traceback__ = None


@dataclass(slots=True)
class Batch:
    """Decoded events and bad records in the order in which they were read, and the offset span of each partition."""

    readings: list[DecodedEvent] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    spans: dict[int, OffsetSpan] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.readings)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def extend(self, partition: int, start: int, offset: int, appended: int, leader_epoch: int | None = None) -> None:
        """Extend a partition's span by one record; the span begins at `start` if it is new."""
        span = self._span(partition, start)
        span.end, span.last_record_at, span.leader_epoch = offset + 1, appended, leader_epoch

    def extend_to_end(self, partition: int, start: int, end: int) -> None:
        """Extend a partition's span by offsets without records, up to `end`; it begins at `start` if it is new."""
        span = self._span(partition, start)
        span.end, span.leader_epoch = end, None

    def _span(self, partition: int, start: int) -> OffsetSpan:
        span = self.spans.get(partition)
        if span is None:
            span = self.spans[partition] = OffsetSpan(start, start)
        return span

    def drop(self, partitions: Iterable[int]) -> None:
        """Remove all that was read from these partitions."""
        dropped = set(partitions)
        self.readings = [reading for reading in self.readings if reading.partition not in dropped]
        self.bad = [bad for bad in self.bad if bad.partition not in dropped]
        self.spans = {partition: span for partition, span in self.spans.items() if partition not in dropped}

    def cut(self, partition: int, offset: int) -> None:
        """Remove what was read from a partition at or after `offset`."""
        self.readings = [r for r in self.readings if r.partition != partition or r.offset < offset]
        self.bad = [b for b in self.bad if b.partition != partition or b.offset < offset]
        span = self.spans.pop(partition)
        if span.start < offset:
            self.spans[partition] = replace(
                span, end=offset, leader_epoch=None
            )  # that of an earlier record is not known

    def clean(self) -> None:
        """Replace the characters that PostgreSQL's text can't store, in all readings."""
        for reading in self.readings:
            reading.clean()

    def by_partition(self) -> Iterator[Batch]:
        """Split into one batch per partition."""
        for partition in sorted(self.spans):
            yield self._only({partition})

    def split(self) -> tuple[Batch, Batch]:
        """Split into two batches of whole partitions and of about equal size."""
        counts = Counter(reading.partition for reading in self.readings)
        order = sorted(self.spans, key=lambda partition: (-counts[partition], partition))
        return self._only(set(order[::2])), self._only(set(order[1::2]))

    def _only(self, partitions: set[int]) -> Batch:
        return Batch(
            [reading for reading in self.readings if reading.partition in partitions],
            [bad for bad in self.bad if bad.partition in partitions],
            {partition: span for partition, span in self.spans.items() if partition in partitions},
        )

    def halves(self) -> tuple[Batch, Batch]:
        """Split a batch of one partition and at least two readings by offset."""
        ((partition, span),) = self.spans.items()
        middle = self.readings[len(self.readings) // 2].offset
        parts = []
        for start, end, epoch in ((span.start, middle, None), (middle, span.end, span.leader_epoch)):
            parts.append(
                Batch(
                    [reading for reading in self.readings if start <= reading.offset < end],
                    [bad for bad in self.bad if start <= bad.offset < end],
                    {partition: replace(span, start=start, end=end, leader_epoch=epoch)},
                )
            )
        return parts[0], parts[1]
