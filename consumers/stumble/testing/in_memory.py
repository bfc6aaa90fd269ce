"""A topic and a store in memory, with the interfaces that the projector's loop uses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError

from stumble.ingest.errors import FencedError
from stumble.ingest.transaction import WriteSummary
from stumble.kafka.errors import is_log_truncation
from stumble.projector.partition_state import PartitionState, PartitionStatus, compare_offsets
from stumble.wire.kafka_record import LOG_APPEND_TIME

if TYPE_CHECKING:
    from stumble.ingest.batch import Batch
    from stumble.kafka.consumer import PartitionListener


@dataclass(slots=True)
class InMemoryRecord:
    """A Kafka record, with the methods of `confluent_kafka.Message` that consumers use."""

    data: bytes | None
    partition_number: int
    offset_number: int
    topic_name: str = "instance-actions"
    header_list: list[tuple[str, bytes]] = field(default_factory=list)
    key_data: bytes | None = None
    #: Kafka's time of the record, milliseconds since 1970.
    timestamp_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    #: The kind of that time, by default the broker's (`LOG_APPEND_TIME`).
    timestamp_kind: int = LOG_APPEND_TIME
    #: The client's error, for a message that is no record.
    client_error: KafkaError | None = None
    epoch: int | None = 0

    def topic(self) -> str:
        return self.topic_name

    def partition(self) -> int:
        return self.partition_number

    def offset(self) -> int:
        return self.offset_number

    def key(self) -> bytes | None:
        return self.key_data

    def value(self) -> bytes | None:
        return self.data

    def headers(self) -> list[tuple[str, bytes]]:
        return self.header_list

    def set_headers(self, value: list[tuple[str, bytes]], /) -> None:
        self.header_list = value

    def timestamp(self) -> tuple[int, int]:
        return self.timestamp_kind, self.timestamp_ms

    def error(self) -> KafkaError | None:
        return self.client_error

    def leader_epoch(self) -> int | None:
        return self.epoch


class InMemoryConsumer:
    """A `RecordConsumer` of a topic in memory. The test appends records, assigns and revokes partitions."""

    def __init__(self, topic: str = "instance-actions") -> None:
        self.topic = topic
        self.id = "topic-1"
        self.lows: dict[int, int] = {}
        self.records: dict[int, dict[int, InMemoryRecord]] = {}
        self.committed: dict[int, int] = {}
        self.is_member = False
        #: How many times the group was left and joined again.
        self.reopened = 0
        self.paused: set[int] = set()
        self._listener: PartitionListener | None = None
        self._positions: dict[int, int] = {}
        #: Partition to an end that offsets without a record precede.
        self._ends: dict[int, int] = {}
        #: Partition to the end that was reported since it was positioned.
        self._reported: dict[int, int] = {}
        self._errors: list[InMemoryRecord] = []

    def append(self, partition: int, *values: bytes, at: int | None = None) -> None:
        """Append records, the first at offset `at` if given: what is skipped does not exist."""
        log = self.records.setdefault(partition, {})
        offset = at if at is not None else self.cached_end_offset(partition)
        for number, value in enumerate(values, start=offset):
            log[number] = InMemoryRecord(value, partition, number, self.topic)

    def append_control_record(self, partition: int) -> None:
        """Append an offset that no reader gets a record for, as the end of a transaction does."""
        self._ends[partition] = self.cached_end_offset(partition) + 1

    def report(self, partition: int, error: KafkaError, offset: int) -> None:
        """Let the next poll return an error about a partition."""
        self._errors.append(InMemoryRecord(None, partition, offset, self.topic, client_error=error))

    def assign(self, *partitions: int) -> None:
        """Assign partitions to the listener, as a rebalance does."""
        assert self._listener is not None
        self.is_member = True
        for partition, offset in self._listener.on_assigned(partitions).items():
            self._positions[partition] = 0 if offset is None else offset
            self._reported.pop(partition, None)
            self.paused.discard(partition) if offset is not None else self.paused.add(partition)

    def revoke(self, *partitions: int) -> None:
        """Revoke partitions, as a rebalance does."""
        assert self._listener is not None
        self._listener.on_revoked(partitions)
        for partition in partitions:
            self._positions.pop(partition, None)

    def poll(self, limit: int, timeout: float) -> list[Any]:  # noqa: ARG002
        """Return errors, then the next records and the ends of the partitions that are not paused, without waiting."""
        result: list[Any] = list(self._errors)
        self._errors.clear()
        for partition, position in self._positions.items():
            if partition not in self.paused:
                wanted = sorted(offset for offset in self.records.get(partition, {}) if offset >= position)
                for offset in wanted[: limit - len(result)]:
                    result.append(self.records[partition][offset])
                    self._positions[partition] = offset + 1
                if (end := self._unreported_end(partition)) is not None:
                    result.append(end)
        return result

    def _unreported_end(self, partition: int) -> InMemoryRecord | None:
        end, position = self.cached_end_offset(partition), self._positions[partition]
        has_more = position > end or any(offset >= position for offset in self.records.get(partition, {}))
        if has_more or self._reported.get(partition) == end:
            return None
        self._positions[partition] = self._reported[partition] = end
        eof = KafkaError(KafkaError._PARTITION_EOF)
        return InMemoryRecord(None, partition, end, self.topic, client_error=eof)

    def subscribe(self, listener: PartitionListener) -> None:
        self._listener = listener

    def pause(self, partitions: Iterable[int]) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        self.paused.difference_update(partitions)

    def commit(self, offsets: Mapping[int, int]) -> None:
        self.committed.update(offsets)

    def topic_id(self) -> str:
        return self.id

    def low_watermark(self, partition: int) -> int:
        return self.lows.get(partition, 0)

    def reopen(self) -> None:
        self._positions.clear()
        self.is_member = False
        self.reopened += 1

    def close(self) -> None:
        self.paused.clear()

    def seek(self, partition: int, positions: Mapping[int, int], paused: Iterable[int]) -> None:  # noqa: ARG002
        self._positions[partition] = positions[partition]
        self._reported.pop(partition, None)

    def cached_end_offset(self, partition: int) -> int:
        after_last = max(self.records.get(partition, {}), default=self.low_watermark(partition) - 1) + 1
        return max(after_last, self._ends.get(partition, 0))

    def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return {partition: self.cached_end_offset(partition) for partition in partitions}

    def committed_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return {partition: self.committed[partition] for partition in partitions if partition in self.committed}


@dataclass(slots=True)
class InMemoryStore:
    """Offsets and event ids, moved as the store's transaction moves them.

    It stands in for `StartOffsets` and, without decisions, for `StoreWriter`.
    """

    consumer: InMemoryConsumer
    topic_id: str = "topic-1"
    offsets: dict[int, int] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)
    #: Raised by the next `apply`, once each: conflicts, outages, faults of records.
    failures: list[Exception] = field(default_factory=list)
    #: Partition to the state that needs an operator, until a test removes it.
    stops: dict[int, PartitionState] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self.consumer.topic

    def apply(self, _: object, batch: Batch) -> WriteSummary:
        """Compare and move the offsets, store the event ids."""
        if self.failures:
            raise self.failures.pop(0)
        moved = {number for number, span in batch.spans.items() if self.offsets.get(number, 0) != span.start}
        if moved:
            raise FencedError(moved)
        self.offsets.update((number, span.end) for number, span in batch.spans.items())
        self.events += [event.event_id for event in batch.readings]
        return WriteSummary(events=len(batch.readings), offsets={p: span.end for p, span in batch.spans.items()})

    def sweep(self, _: object, positions: Mapping[int, int], window_seconds: float) -> int:  # noqa: ARG002
        """Join no sightings, since there are none; return 0."""
        return 0

    def load(self, partitions: Sequence[int]) -> list[PartitionStatus]:
        """Return the start offsets, as `StartOffsets` does."""
        recreated = self.consumer.topic_id() != self.topic_id
        state = PartitionState.TOPIC_RECREATED if recreated else PartitionState.READING
        return [PartitionStatus(self.topic, p, self.stops.get(p, state), self.offsets.get(p, 0)) for p in partitions]

    def explain_out_of_range(
        self,
        partition: int,
        offset: int,
        error: KafkaError,
        refused: int | None,  # noqa: ARG002
    ) -> PartitionStatus:
        """Return why the client refuses an offset, and keep a state that needs an operator."""
        end = self.consumer.cached_end_offset(partition)
        state = compare_offsets(offset, self.consumer.low_watermark(partition), end)
        if is_log_truncation(error):
            state = PartitionState.OFFSET_BEYOND_END
        if state.needs_operator:
            self.stops[partition] = state
        return PartitionStatus(self.topic, partition, state, offset)

    def topic_was_recreated(self) -> bool:
        """Whether the topic's id is not that of the stored offsets."""
        return self.consumer.topic_id() != self.topic_id
