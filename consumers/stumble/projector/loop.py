"""The projector's loop: polls records from Kafka, collects them, submits batches to the writer, handles its results.

Start reading at `Projector.run`. `build.py` shows which parts there are and how they are connected.
"""

from __future__ import annotations

import gc
import logging
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from stumble.ingest.transaction import ALL_SIGHTINGS
from stumble.kafka.errors import DAMAGED_BATCH, OUT_OF_RANGE, client_text
from stumble.projector.partition_state import PartitionState, PartitionStatus, log_line
from stumble.projector.write_thread import SweepJob
from stumble.runtime.timers import Timers
from stumble.wire.errors import RegistryUnavailable

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence

    from confluent_kafka import Message

    from stumble.clock.clock import Clock
    from stumble.kafka.client_errors import ClientErrors
    from stumble.kafka.consumer import RecordConsumer
    from stumble.projector.batch_collector import BatchCollector
    from stumble.projector.batch_writer import WriteResult
    from stumble.projector.breaker import CircuitBreaker
    from stumble.projector.health import ProjectorHealth
    from stumble.projector.partitions import AssignedPartitions, Partition
    from stumble.projector.start_offsets import StartOffsets
    from stumble.projector.topic_ends import TopicEnds
    from stumble.projector.write_thread import Job, WriteThread
    from stumble.runtime.state_log import StateLog

LOG = logging.getLogger("stumble.projector")
_IDLE_POLL_SECONDS = 0.1
_BUSY_POLL_SECONDS = 0.01
#: Longer backpressure pauses the consumer, which then discards its prefetched records.
_PAUSE_AFTER_SECONDS = 1.0
_SWEEP_SECONDS = _COMMIT_SECONDS = 1.0
_RECENT_SIGHTINGS_SECONDS = 300.0
_LAG_SECONDS = 2.0
_TOPIC_SECONDS = 15.0
_GARBAGE_SECONDS = 30.0
_REVOKE_SECONDS = 3.0
_CLOSE_SECONDS = 8.0
_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001
_END = KafkaError._PARTITION_EOF
_OF_PARTITION = (_END, *OUT_OF_RANGE, *DAMAGED_BATCH)


class Projector:
    """Reads one topic into the store until stopped. It is the consumer's `PartitionListener`."""

    def __init__(
        self,
        *,
        consumer: RecordConsumer,
        start_offsets: StartOffsets,
        collector: BatchCollector,
        partitions: AssignedPartitions,
        writer: WriteThread,
        breaker: CircuitBreaker,
        clock: Clock,
        ends: TopicEnds,
        client_errors: ClientErrors,
        health: ProjectorHealth,
        state_log: StateLog,
    ) -> None:
        self._consumer = consumer
        self._start_offsets = start_offsets
        self._collector = collector
        self._partitions = partitions
        self._writer = writer
        self._breaker = breaker
        self._clock = clock
        self._ends = ends
        self._client_errors = client_errors
        self._health = health
        self._state_log = state_log
        self._timers = Timers()
        self._submitted_at = 0.0
        self._paused = False
        #: The first sweep after an assignment checks all sightings, the others check recent ones.
        self._sweep_window = ALL_SIGHTINGS

    def run(self, stop: threading.Event) -> None:
        """Read until `stop` is set; raises `StumbleError` for what only an operator can repair."""
        self._writer.start()
        self._consumer.subscribe(self)
        try:
            while not stop.is_set():
                self.run_once()
        finally:
            self._close()

    def run_once(self) -> None:
        """Run the loop once: poll, submit what is collected if the writer is free, run the tasks that are due."""
        self._client_errors.raise_if_fatal()
        self._take_results()
        if self._collector.is_full and not self._writer.idle:
            self._apply_backpressure()
        else:
            self._release_backpressure()
            busy = bool(self._collector) or not self._writer.idle
            timeout = _BUSY_POLL_SECONDS if busy else _IDLE_POLL_SECONDS
            self._collect(self._consumer.poll(self._collector.room, timeout))
        if self._writer.idle:
            self._take_results()  # a job may have ended since: the next one must start at the offsets that it stored
            self._submit_next()
        self._run_due_tasks()

    # PartitionListener: called by the consumer from inside `poll` ------------------------------------

    def on_assigned(self, partitions: Sequence[int]) -> Mapping[int, int | None]:
        """Return the start offset of each newly assigned partition; None: not known yet."""
        self._state_log.over("topic", f"Topic {self._consumer.topic} exists.")
        self._sweep_window = ALL_SIGHTINGS
        self._paused = False
        statuses = self._load_start_offsets(partitions)
        for status in statuses:
            self._partitions.add(status)
            self._breaker.start_at(status.partition, status.stored or 0)
            self._log_block(status)
        self._report_partitions()
        LOG.info("Reading partitions %s of %s.", sorted(self._partitions.next_offsets()), self._consumer.topic)
        return {one.partition: one.stored if one.state is PartitionState.READING else None for one in statuses}

    def on_revoked(self, partitions: Sequence[int]) -> None:
        """Drop partitions that another projector gets; the current batch is still written, or the store refuses it."""
        self._collector.drop(partitions)
        self._writer.wait(_REVOKE_SECONDS)
        self._take_results()
        self._commit()
        self._partitions.remove(partitions)
        self._report_partitions()

    def on_group_lost(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Return offsets to continue at without the group; none if the broker answered, so this process was missing."""
        if not self._client_errors.broker_was_unreachable:
            return {}
        LOG.warning("Lost contact with the consumer group; continuing to read the same partitions until it answers.")
        self._expect_gaps()
        return {p.number: p.next_offset for p in self._partitions if p.number in partitions and p.block is None}

    def leader_epoch(self, partition: int) -> int | None:
        """Return Kafka's leader epoch of the record before a partition's next offset, None if it is not known."""
        return self._partitions[partition].leader_epoch if partition in self._partitions else None

    def on_client_error(self, error: KafkaError) -> None:
        """Log an error that concerns the client as a whole."""
        self._client_errors.on_error(error)
        if self._client_errors.text:
            self._health.kafka_failed(self._client_errors.text)

    # From Kafka to the collector ---------------------------------------------------------------------

    def _collect(self, messages: Sequence[Message]) -> None:
        rewound: set[int] = set()
        for message in messages:
            error, number = message.error(), message.partition()
            if error is not None and error.code() not in _OF_PARTITION:
                self._handle_error(error)
            elif number is not None and number in self._partitions and number not in rewound:
                partition = self._partitions[number]
                if partition.block is None and not self._collect_one(message, partition):
                    rewound.add(number)

    def _collect_one(self, message: Message, partition: Partition) -> bool:
        """Collect a record or the end of a partition, or handle an error about the partition.

        False if the partition was rewound or blocked, so its other messages of this poll must be skipped.
        """
        error, offset, number = message.error(), message.offset(), partition.number
        if error is not None and error.code() != _END:
            self._handle_partition_error(error, offset, partition)
            return False
        if offset is None or offset < partition.next_offset:
            return True
        if partition.is_unconfirmed_gap(offset):
            self._seek(number)
            return False
        if offset > partition.next_offset:
            gap = (partition.next_offset, offset - 1)
            LOG.debug("Partition %s of %s has no records from offset %s to %s.", number, self._consumer.topic, *gap)
        if error is not None:
            partition.end_offset = offset
            return True
        try:
            self._collector.add_record(message, partition, offset, message.leader_epoch())
        except RegistryUnavailable as unavailable:
            self._block(self._status(number, PartitionState.REGISTRY_UNAVAILABLE, detail=str(unavailable)))
        return True

    def _handle_partition_error(self, error: KafkaError, refused: int | None, partition: Partition) -> None:
        number = partition.number
        if error.code() in DAMAGED_BATCH:
            self._block(self._status(number, PartitionState.DAMAGED_BATCH, detail=client_text(error)))
        elif partition.next_offset != partition.stored_offset:
            self._restart([number])  # records that were read but not stored: only the store's offset counts
        else:
            self._block(self._start_offsets.explain_out_of_range(number, partition.stored_offset, error, refused))

    def _expect_gaps(self) -> None:
        """Read a gap again if the next record of a partition follows one: the client was positioned anew."""
        for partition in self._partitions:
            partition.is_in_sequence = False

    def _collect_ends(self) -> None:
        """Collect the offsets without records at the ends of partitions, which end a transaction."""
        for partition in self._partitions:
            end = partition.end_offset
            if partition.block is None and end is not None and end > partition.next_offset:
                self._collector.add_end(partition, end)

    def _handle_error(self, error: KafkaError) -> None:
        if error.code() in _NO_TOPIC:
            self._client_errors.on_answer()
            text = f"Topic {self._consumer.topic} does not exist: create it with `stumble topics apply`."
            self._state_log.say("topic", text)
            self._health.kafka_failed(text)
        else:
            self.on_client_error(error)

    # From the collector to the writer, and back ------------------------------------------------------

    def _submit_next(self) -> None:
        reading = self._partitions.stored_offsets()
        job: Job | None = self._clock.job(reading)
        if job is None and self._collector:
            job = self._collector.take_batch()
        elif job is None and reading and self._timers.due("sweep", _SWEEP_SECONDS):
            job = SweepJob(reading, self._sweep_window)
            self._sweep_window = _RECENT_SIGHTINGS_SECONDS
        if job is not None:
            self._submitted_at = time.monotonic()
            self._writer.submit(job)

    def _take_results(self) -> None:
        for result in self._writer.take_results():
            self._take_result(result)

    def _take_result(self, result: WriteResult) -> None:
        if result.stopped:
            return
        if result.error is not None:
            raise result.error
        if result.decided is not None:
            self._clock.decided(result.decided, fenced=bool(result.fenced))
        if result.summary is not None:
            self._move_stored_offsets(result.summary.offsets)
            self._health.applied(result.summary, time.monotonic() - self._submitted_at)
        if result.fenced:
            self._health.fenced(len(result.fenced))
            text = "Another projector writes partitions %s, or the store was restored; reading them again."
            LOG.warning(text, sorted(result.fenced))
            self._restart(result.fenced)
        for status in result.blocked.values():
            if status.partition in self._partitions:
                self._block(status)

    def _move_stored_offsets(self, offsets: Mapping[int, int]) -> None:
        for number, offset in offsets.items():
            if number in self._partitions:
                partition = self._partitions[number]
                partition.stored_offset = offset
                if partition.passed_its_block():
                    self._end_retry(partition)

    def _apply_backpressure(self) -> None:
        """Wait for a writer that is behind; if it takes long, keep polling without fetching to stay in the group."""
        if self._writer.wait(0.05):
            return
        if not self._paused and time.monotonic() - self._submitted_at > _PAUSE_AFTER_SECONDS:
            self._consumer.pause(self._partitions.next_offsets())
            self._paused = True
        if self._paused:
            self._collect(self._consumer.poll(1, 0))

    def _release_backpressure(self) -> None:
        if self._paused:
            self._consumer.resume(self._partitions.stored_offsets())
            self._paused = False
            self._expect_gaps()

    # Blocked partitions ------------------------------------------------------------------------------

    def _block(self, status: PartitionStatus) -> None:
        """Stop reading a partition until its state's retry time; none of its records is skipped."""
        if not status.state.is_of_next_record:
            self._collector.drop([status.partition])
        self._consumer.pause([status.partition])
        self._partitions.block(status)
        self._log_block(status)
        self._report_partitions()

    def _restart(self, partitions: Iterable[int]) -> None:
        """Continue partitions at the store's offsets; block those without one now, to load it again later."""
        numbers = [number for number in partitions if number in self._partitions]
        self._collector.drop(numbers)
        for status in self._load_start_offsets(numbers):
            if status.state is PartitionState.READING and status.stored is not None:
                self._partitions[status.partition].restart(status.stored, status.leader_epoch)
                self._seek(status.partition)
            else:  # a partition that is retried while the store is down stays blocked for the reason that it had
                retried = self._partitions[status.partition].retried
                self._block(retried if retried and status.state is PartitionState.NO_START_OFFSET else status)

    def _retry_blocked(self) -> None:
        """Read partitions again whose retry time is over; they count as blocked until something of them was stored."""
        unblocked = self._partitions.unblock_due()
        if not unblocked:
            return
        before = self._partitions.stored_offsets()
        self._restart(status.partition for status in unblocked)
        for status in unblocked:
            partition = self._partitions[status.partition]
            if partition.block is not None:
                continue
            self._consumer.resume([status.partition])
            is_moved = partition.stored_offset != before[status.partition]
            if is_moved or status.state is PartitionState.NO_START_OFFSET:
                self._end_retry(partition)

    def _end_retry(self, partition: Partition) -> None:
        partition.retried = None
        text = f"Partition {partition.number} of {self._consumer.topic} is read again."
        self._state_log.over(f"partition-{partition.number}", text)
        self._report_partitions()

    def _load_start_offsets(self, partitions: Sequence[int]) -> list[PartitionStatus]:
        if not partitions:
            return []
        self._timers.put_off("topic", _TOPIC_SECONDS)  # loading reads the topic's id, too
        return self._start_offsets.load(partitions)

    def _seek(self, number: int) -> None:
        blocked = [status.partition for status in self._partitions.blocks]
        self._consumer.seek(number, self._partitions.next_offsets(), blocked)

    def _status(self, number: int, state: PartitionState, *, detail: str) -> PartitionStatus:
        return PartitionStatus(self._consumer.topic, number, state, self._partitions[number].next_offset, detail=detail)

    def _log_block(self, status: PartitionStatus) -> None:
        # That the store or the broker is down is logged once, not for each partition.
        if status.state not in (PartitionState.READING, PartitionState.NO_START_OFFSET):
            self._state_log.say(f"partition-{status.partition}", log_line(status))

    # Periodic tasks ----------------------------------------------------------------------------------

    def _run_due_tasks(self) -> None:
        self._health.turned(nothing_to_do=not self._collector and self._writer.idle)
        self._retry_blocked()
        if self._timers.due("commit", _COMMIT_SECONDS):
            self._commit()
            self._clock.at(self._partitions.stored_offsets())
            self._collect_ends()
        if self._timers.due("lag", _LAG_SECONDS):
            self._report_open_transactions()
            self.report_lag()
            self._log_silence()
            self._health.report_watermarks(self._clock.watermarks)
        if self._timers.due("topic", _TOPIC_SECONDS) and self._start_offsets.topic_was_recreated():
            self._consumer.reopen()
        if self._health.group_is_silent(is_member=self._consumer.is_member):
            LOG.warning("The consumer group has assigned nothing for two minutes, but Kafka answers; joining it again.")
            self._consumer.reopen()
        if self._timers.due("garbage", _GARBAGE_SECONDS):
            gc.collect()

    def _commit(self) -> None:
        """Commit the store's offsets to the group, for tools that show lag; nothing depends on them."""
        self._consumer.commit(self._partitions.stored_offsets())

    def _report_partitions(self) -> None:
        self._health.partitions(self._partitions.next_offsets(), self._partitions.faults)
        self._ends.watch(self._partitions.next_offsets())

    def report_lag(self) -> None:
        """Report how far behind each partition is, unless Kafka does not tell where the partitions end."""
        now, ends = time.time(), self._ends.known()
        if ends:
            self._client_errors.on_answer(self._ends.asked_at)
        for partition in self._partitions:
            end, block = ends.get(partition.number), partition.block
            if end is None or (block is not None and block.state is PartitionState.NO_START_OFFSET):
                self._health.lag(partition.number, 0.0, None)
                continue
            end = max(end, self._consumer.cached_end_offset(partition.number) or 0)
            waiting = max(0, end - partition.stored_offset)
            last = partition.last_record_at
            self._health.lag(partition.number, max(0.0, now - last / 1e6) if waiting and last else 0.0, waiting)
            if partition.retried is not None and not waiting:
                self._end_retry(partition)

    def _log_silence(self) -> None:
        """Log once that a service is silent: its client raises no error."""
        for subject, text in (("kafka", self._health.kafka_fault()), ("store", self._health.store_silence())):
            if text is not None:
                self._state_log.begin(subject, text)

    def _report_open_transactions(self) -> None:
        topic = self._consumer.topic
        for partition in self._partitions:
            subject, high = f"transaction-{partition.number}", self._consumer.cached_end_offset(partition.number)
            if partition.waits_for_transaction(high, time.monotonic()):
                state = PartitionState.OPEN_TRANSACTION
                self._state_log.say(subject, log_line(self._status(partition.number, state, detail="")))
            else:
                text = f"Partition {partition.number} of {topic}: the transaction has ended; reading continues."
                self._state_log.over(subject, text)

    def _close(self) -> None:
        self._writer.end()
        self._writer.join(_CLOSE_SECONDS)
        for result in self._writer.take_results():
            self._move_stored_offsets(result.summary.offsets if result.summary else {})
        self._commit()
        self._consumer.close()
