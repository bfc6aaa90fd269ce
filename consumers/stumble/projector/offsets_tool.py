"""Shows the store's offsets beside the topic's, and moves them when an operator requests it.

The projector never skips records by itself. Its transactions compare the offset that is moved here, so a projector
that runs meanwhile writes nothing of what it had read, and continues from the new offset within a second or two.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.errors import LockNotAvailable

from stumble.kafka.consumer import LATEST, list_offsets, position_of, quiet_config
from stumble.kafka.errors import DAMAGED_BATCH, client_text, is_log_truncation, kafka_error
from stumble.projector.partition_state import (
    OPEN_TRANSACTION_SECONDS,
    PartitionState,
    PartitionStatus,
    compare_offsets,
    describe_status,
)
from stumble.projector.start_offsets import stored_state
from stumble.runtime.times import from_millis
from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message
    from psycopg import Connection

    from stumble.settings.kafka import KafkaSettings

_SECONDS = 15.0
#: How long to wait for the next record of a partition that has one.
_RECORD_SECONDS = 10.0
_SEEK_TRIES, _SEEK_PAUSE = 40, 0.05
_LOCK_TRIES = 5
#: `oldest` or `newest` record of the topic, an offset, or a time.
Target = Literal["oldest", "newest"] | int | datetime


class OffsetError(StumbleError):
    """The store's offset can't be set as requested."""


@dataclass(frozen=True, slots=True)
class OffsetReport:
    """One partition: its status, its offsets in the topic (`low` up to `high`), and when lost records were written.

    Kafka returns no records from `high` on while a transaction is open there, although it has some.
    """

    status: PartitionStatus
    low: int
    high: int
    #: Kafka's time of the last record in the store, and of the oldest that the topic holds (where some are lost).
    last_record_at: datetime | None = None
    oldest_at: datetime | None = None
    #: The end of all records, also of those that wait for a transaction's end, and when the transaction began.
    high_watermark: int | None = None
    transaction_at: datetime | None = None
    #: The projector's own description of the partition, where it is the one that blocks it.
    reported: str = ""
    #: When a projector reported last, if that is too long ago.
    silent_since: datetime | None = None

    @property
    def partition(self) -> int:
        """The partition's number."""
        return self.status.partition

    @property
    def state(self) -> PartitionState:
        """The partition's state."""
        return self.status.state

    @property
    def stored(self) -> int | None:
        """The store's next offset; None if the partition was never read."""
        return self.status.stored

    @property
    def behind(self) -> int:
        """How many records wait."""
        start = self.low if self.stored is None or self.state.needs_operator else self.stored
        return max(0, (self.high_watermark or self.high) - start)

    @property
    def lost(self) -> tuple[int, int] | None:
        """First and last offset that can't be read any more, where both are known."""
        if self.state is not PartitionState.OFFSET_EXPIRED or self.stored is None:
            return None
        return self.stored, self.low - 1

    @property
    def description(self) -> str:
        """The partition's state, what is lost and since when, as a clause."""
        text = self.reported or describe_status(self.status)
        if self.lost:
            first, last = self.lost
            text += f"; lost: offsets {first} to {last}, at most {last - first + 1} records{self._written()}"
        elif self.state is PartitionState.TOPIC_RECREATED:
            text += self._written()
        elif self.state is PartitionState.OFFSET_BEYOND_END and self.last_record_at:
            text += f"; records written after {_utc(self.last_record_at)} are not read yet"
        elif self.state is PartitionState.OPEN_TRANSACTION and self.transaction_at:
            text += f" since {_utc(self.transaction_at)}"
        if self.status.since:
            text += f"; stopped since {_utc(self.status.since)}"
        if self.silent_since:
            text += f"; no projector has reported since {_utc(self.silent_since)}"
        return text

    def _written(self) -> str:
        after = f", written after {_utc(self.last_record_at)}" if self.last_record_at else ""
        return after + (f" and before {_utc(self.oldest_at)}" if after and self.oldest_at else "")


class OffsetsTool:
    """Compares store and topic; use it in a ``with`` block. Raises `StumbleError` when Kafka doesn't answer."""

    def __init__(self, kafka: KafkaSettings, connection: Connection[Any]) -> None:
        self._kafka = kafka
        self.topic = kafka.topics.actions
        self._connection = connection
        self._admin = AdminClient(quiet_config(kafka.client_config()))
        self._consumer = self._new_consumer()
        #: Reads records of open transactions, too; created when it is needed.
        self._uncommitted: Consumer | None = None
        try:
            self.topic_id, self._count = self._describe()
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        if self._uncommitted is not None:
            self._uncommitted.close()

    def all(self) -> Iterator[OffsetReport]:
        """Yield a report of each partition, also of those that were never read or no longer exist."""
        rows, states = self._rows(), self._states()
        for partition in sorted({*rows, *range(self._count)}):
            yield _with_state(self._report(partition, rows.get(partition)), states.get(partition))

    def resolve(self, report: OffsetReport, target: Target) -> int:
        """Return the offset that a target means; raises `OffsetError` for one that the topic does not hold."""
        if report.state is PartitionState.PARTITION_MISSING:
            raise OffsetError(f"The topic {self.topic} has no partition {report.partition}.")
        if isinstance(target, datetime):
            wanted_time = TopicPartition(self.topic, report.partition, max(0, int(target.timestamp() * 1000)))
            try:
                (result,) = self._consumer.offsets_for_times([wanted_time], timeout=_SECONDS)
            except KafkaException as error:
                raise self._no_answer(error) from error
            return int(result.offset) if result.offset >= 0 else report.high
        wanted = (
            {"oldest": report.low, "newest": report.high}.get(target, target) if isinstance(target, str) else target
        )
        if not isinstance(wanted, int) or not report.low <= wanted <= report.high:
            raise OffsetError(
                f"Partition {report.partition} can be read from offset {report.low} to {report.high}, not from "
                f"{target}: give an offset in this range."
            )
        return wanted

    def move(
        self, partition: int, target: Target, *, may_skip: bool, only_stopped: bool = False
    ) -> tuple[OffsetReport, int | None]:
        """Move the store's offset; return the report from before and the new offset, None if nothing has to change.

        Holds the partition's writer lock, so nothing changes the offset in between. Raises `OffsetError` if the move
        skips records that can still be read, unless `may_skip`.
        """
        for attempt in range(_LOCK_TRIES):
            try:
                with self._connection.transaction():
                    parameters = {"topic": self.topic, "partitions": [partition]}
                    self._connection.execute(query("lock_partitions"), parameters)
                    report = self._report(partition, self._rows().get(partition), ask_time=False)
                    return self._moved(report, target, may_skip=may_skip, only_stopped=only_stopped)
            except LockNotAvailable:
                if attempt == _LOCK_TRIES - 1:
                    raise OffsetError(f"Partition {partition} is locked by its writer: try again.") from None
        raise AssertionError

    def let_through(self, partition: int, until: int | None, *, dry_run: bool) -> int:
        """Permit any number of bad records before an offset, or before the topic's end; return that offset."""
        report = self._report(partition, self._rows().get(partition), ask_time=False)
        end = self.resolve(report, "newest" if until is None else until)
        if not dry_run:
            parameters = {"topic": self.topic, "topic_id": self.topic_id, "partition": partition, "until": end}
            self._connection.execute(query("set_bad_record_limit"), parameters)
        return end

    def _moved(
        self, report: OffsetReport, target: Target, *, may_skip: bool, only_stopped: bool
    ) -> tuple[OffsetReport, int | None]:
        if only_stopped and not report.state.needs_operator:
            return report, None
        offset = self.resolve(report, target)
        if report.state is PartitionState.READING and offset == report.stored:
            return report, None
        if not may_skip and (skipped := self.skipped(report, offset)):
            raise OffsetError(
                f"That skips {skipped} records of partition {report.partition} that can still be read: they would be "
                "missing from the store. Add --skip to confirm."
            )
        if report.state in (PartitionState.TOPIC_RECREATED, PartitionState.OFFSET_BEYOND_END):
            # Events that were stored before have offsets of another topic.
            parameters = {"topic": self.topic, "partition": report.partition}
            self._connection.execute(query("add_topic_break"), parameters)
        self._connection.execute(
            query("set_offset"),
            {"topic": self.topic, "partition": report.partition, "topic_id": self.topic_id, "offset": offset},
        )
        return report, offset

    @staticmethod
    def skipped(report: OffsetReport, offset: int) -> int:
        """Return how many records that can still be read an offset skips."""
        next_offset = None if report.state.needs_operator else report.stored
        return max(0, offset - (report.low if next_offset is None else next_offset))

    def _rows(self) -> dict[int, tuple[Any, ...]]:
        rows = self._connection.execute(query("load_offset_states"), {"topic": self.topic})
        return {row[0]: row[1:] for row in rows}

    def _states(self) -> dict[int, tuple[Any, ...]]:
        rows = self._connection.execute(query("load_partition_states"), {"topic": self.topic})
        return {row[0]: row[1:] for row in rows}

    def _report(self, partition: int, row: tuple[Any, ...] | None, *, ask_time: bool = True) -> OffsetReport:
        topic_id, stored, last_record_at, leader_epoch, stopped_state, since, reason = row or ("", *[None] * 6)
        if partition >= self._count:
            status = PartitionStatus(self.topic, partition, PartitionState.PARTITION_MISSING, stored)
            return OffsetReport(status, 0, 0, last_record_at)
        low, high = self._bounds(partition)
        if stored is None:
            status = PartitionStatus(self.topic, partition, PartitionState.NEVER_READ)
            return OffsetReport(status, low, high, last_record_at)
        state = stored_state(topic_id, self.topic_id, stopped_state)
        if state is PartitionState.READING:
            state, reason = compare_offsets(stored, low, high), ""
        if state is PartitionState.READING and stored < high:
            state, reason = self._examine_next(partition, stored, leader_epoch)
        transaction = self._open_transaction(partition, high) if state is PartitionState.READING else None
        if transaction is not None and stored == high:
            state = PartitionState.OPEN_TRANSACTION
        lost = state in (PartitionState.TOPIC_RECREATED, PartitionState.OFFSET_EXPIRED)
        oldest_at = self._time_of(partition, low) if ask_time and lost and low < high else None
        status = PartitionStatus(self.topic, partition, state, stored, reason or "", leader_epoch, since)
        end, began_at = transaction or (None, None)
        return OffsetReport(status, low, high, last_record_at, oldest_at, end, began_at)

    def _examine_next(self, partition: int, offset: int, leader_epoch: int | None) -> tuple[PartitionState, str]:
        """Read the record at an offset that the topic has; return the partition's state, and the client's reason."""
        # With an epoch the client seeks, and discards what it has fetched before, also the error of a damaged batch.
        for epoch in (None,) if leader_epoch is None else (None, leader_epoch):
            record = self._read(self._consumer, partition, offset, epoch)
            error = record.error() if record is not None else None
            if error is not None and error.code() in DAMAGED_BATCH:
                return PartitionState.DAMAGED_BATCH, client_text(error)
            if error is not None and is_log_truncation(error):
                return PartitionState.OFFSET_BEYOND_END, error.str()
        return PartitionState.READING, ""

    def _open_transaction(self, partition: int, end: int) -> tuple[int, datetime] | None:
        """Return the high watermark and the begin of a transaction that has held a partition for more than a minute."""
        asked = TopicPartition(self.topic, partition)
        try:
            latest = list_offsets(self._admin, [asked], LATEST, _SECONDS)[asked]
        except KafkaException as error:
            raise self._no_answer(error) from error
        if latest <= end:
            return None
        if self._uncommitted is None:
            self._uncommitted = self._new_consumer(**{"isolation.level": "read_uncommitted"})
        began_at = _time_of(self._read(self._uncommitted, partition, end))
        if began_at is None or datetime.now(UTC) - began_at < timedelta(seconds=OPEN_TRANSACTION_SECONDS):
            return None
        return latest, began_at

    def _new_consumer(self, **options: Any) -> Consumer:
        own = self._kafka.consumer_config("stumble-offsets", enable_partition_eof=True, check_crcs=True)
        return Consumer(quiet_config(own) | options)

    def _bounds(self, partition: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=_SECONDS)
        except KafkaException as error:
            raise self._no_answer(error) from error
        return int(low), int(high)

    def _time_of(self, partition: int, offset: int) -> datetime | None:
        """Return Kafka's time of the first record from `offset` on, None if there is none."""
        return _time_of(self._read(self._consumer, partition, offset))

    def _read(self, consumer: Consumer, partition: int, offset: int, leader_epoch: int | None = None) -> Message | None:
        """Return the first record or error from `offset` on, None without one in time."""
        position = position_of(self.topic, partition, offset, leader_epoch)
        consumer.assign([position])
        if leader_epoch is not None:
            _validate(consumer, position)
        deadline = time.monotonic() + _RECORD_SECONDS
        record = None
        while record is None and (left := deadline - time.monotonic()) > 0:
            record = consumer.poll(left)
            if record is not None and record.partition() != partition:
                record = None  # an error of a partition that was read before
        consumer.unassign()
        return record

    def _describe(self) -> tuple[str, int]:
        answers = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=_SECONDS)
        try:
            topic = answers[self.topic].result()
        except KafkaException as error:
            raise self._no_answer(error) from error
        return str(topic.topic_id), len(topic.partitions)

    def _no_answer(self, error: KafkaException) -> StumbleError:
        return kafka_error(self._kafka, self.topic, error)


def _with_state(report: OffsetReport, row: tuple[Any, ...] | None) -> OffsetReport:
    """Add what the projector says of a partition whose offsets show no reason to stop."""
    if row is None or report.state is not PartitionState.READING:
        return report
    state, description, since, reported_at, is_recent = row
    if not is_recent:
        return replace(report, silent_since=reported_at)
    if state == PartitionState.READING.value:
        return report
    status = replace(report.status, state=PartitionState(state), since=since)
    return replace(report, status=status, reported=description)


def _validate(consumer: Consumer, position: TopicPartition) -> None:
    """Let the client compare an assigned position's leader epoch with the topic, once the assignment took effect."""
    for _ in range(_SEEK_TRIES):
        try:
            consumer.seek(position)
        except KafkaException:
            time.sleep(_SEEK_PAUSE)
        else:
            return


def _time_of(record: Message | None) -> datetime | None:
    if record is None or record.error() is not None:
        return None
    return from_millis(record.timestamp()[1])


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
