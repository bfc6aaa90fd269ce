"""Collects decoded records until the writer is free, so batches are large under load and small otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stumble.ingest.batch import BadRecord, Batch
from stumble.ingest.errors import BadRecordError
from stumble.ingest.record_times import appended_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stumble.ingest.decoding import EventDecoder
    from stumble.projector.bridged_hosts import BridgedHosts
    from stumble.projector.decoding_mark import DecodingMark
    from stumble.projector.partitions import Partition
    from stumble.projector.signature_rejections import SignatureRejections
    from stumble.wire.kafka_record import KafkaRecord


class BatchCollector:
    """Collects the batch that the writer gets next."""

    def __init__(
        self,
        decoder: EventDecoder,
        hosts: BridgedHosts,
        max_records: int,
        max_bytes: int,
        rejections: SignatureRejections,
        mark: DecodingMark,
    ) -> None:
        self._decoder = decoder
        self._hosts = hosts
        self._rejections = rejections
        self._mark = mark
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._batch = Batch()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._batch)

    @property
    def is_full(self) -> bool:
        """Whether the batch has reached one of its limits, to which bad records count, too."""
        return self._records() >= self._max_records or self._bytes >= self._max_bytes

    @property
    def room(self) -> int:
        """How many records to ask Kafka for: at least one, or its client makes no progress."""
        return max(1, self._max_records - self._records())

    def _records(self) -> int:
        return len(self._batch.readings) + len(self._batch.bad)

    def add_record(
        self, record: KafkaRecord, partition: Partition, offset: int, leader_epoch: int | None = None
    ) -> None:
        """Add the next record of a partition, also a bad one; on `RegistryUnavailable` nothing is added."""
        value = record.value() or b""
        try:
            self._mark.begin(record, partition.number, offset)
            event = self._decoder.decode_event(record, value, partition.number, offset)
        except BadRecordError as error:
            bad = BadRecord(record, partition.number, offset, error)
            if not error.is_unsigned or self._rejections.add_bad_record(bad):
                self._batch.bad.append(bad)
        else:
            self._batch.readings.append(event)
            self._hosts.add_event(event)
        finally:
            self._mark.end()
        partition.last_record_at = appended_at(record)
        self._batch.extend(partition.number, partition.next_offset, offset, partition.last_record_at, leader_epoch)
        self._bytes += len(value)
        partition.next_offset, partition.leader_epoch = offset + 1, leader_epoch

    def add_end(self, partition: Partition, end: int) -> None:
        """Add the offsets without records that precede the end of a partition."""
        self._batch.extend_to_end(partition.number, partition.next_offset, end)
        partition.next_offset, partition.leader_epoch = end, None

    def drop(self, partitions: Iterable[int]) -> None:
        """Drop the records of partitions that are read again, or by another projector."""
        self._batch.drop(partitions)

    def take_batch(self) -> Batch:
        """Return the batch and start the next one."""
        batch, self._batch, self._bytes = self._batch, Batch(), 0
        return batch
