"""Writes one batch at a time and separates faults of records from faults of the store.

The writer halves a batch until it has isolated a record that the store or the rules refuse. Only this record goes to
the dead letter topic. If too many records are bad, the circuit breaker blocks the partition instead; it does not count
redriven dead letters, which were bad before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.deadletters.dead_letter import was_redriven
from stumble.ingest.batch import BadRecord, Batch
from stumble.ingest.errors import BadRecordError, FencedError, NulTextError
from stumble.projector.host_notices import distance
from stumble.projector.partition_state import PartitionState, PartitionStatus
from stumble.projector.store_session import StoppedError, StoreSession, first_line
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from stumble.deadletters.producer import DeadLetterProducer
    from stumble.ingest.decisions import ClockFinding, DecisionJob
    from stumble.ingest.decoding import DecodedEvent
    from stumble.ingest.transaction import StoreWriter, WriteSummary
    from stumble.projector.breaker import CircuitBreaker
    from stumble.projector.health import ProjectorHealth
    from stumble.projector.host_notices import HostNotices
    from stumble.runtime.state_log import StateLog


@dataclass(slots=True)
class WriteResult:
    """The result of a job."""

    summary: WriteSummary | None = None
    #: Partitions whose offsets another projector has moved; the loop reads them again.
    fenced: set[int] = field(default_factory=set)
    #: Partitions that stop at a bad record.
    blocked: dict[int, PartitionStatus] = field(default_factory=dict)
    #: The clock's findings that were decided; None for other jobs.
    decided: list[ClockFinding] | None = None
    error: BaseException | None = None

    @property
    def stopped(self) -> bool:
        """Whether the job was abandoned because the projector stops."""
        return isinstance(self.error, StoppedError)

    def merge(self, other: WriteResult) -> None:
        """Add the result of another part of the same job."""
        if self.summary is None:
            self.summary = other.summary
        elif other.summary is not None:
            self.summary.add(other.summary)
        self.fenced |= other.fenced
        self.blocked.update(other.blocked)
        self.error = self.error or other.error


class BatchWriter:
    """Writes batches in a session of its own. It raises no errors; each is in the result."""

    def __init__(
        self,
        session: StoreSession,
        store_writer: StoreWriter,
        dead_letters: DeadLetterProducer,
        breaker: CircuitBreaker,
        health: ProjectorHealth,
        state_log: StateLog,
        notices: HostNotices,
    ) -> None:
        self._session = session
        self._store_writer = store_writer
        self._dead_letters = dead_letters
        self._breaker = breaker
        self._health = health
        self._state_log = state_log
        self._notices = notices

    def write(self, batch: Batch) -> WriteResult:
        """Write a batch and dead-letter its bad records."""
        result = WriteResult()
        try:
            self._stop_at_bad_records(batch, result)
            self._dead_letter(batch, result)
            self._write(batch, result)
        except BaseException as error:  # noqa: BLE001  # the loop raises it
            result.error = error
        return result

    def sweep(self, positions: Mapping[int, int], window_seconds: float) -> WriteResult:
        """Join the sightings that wait for these partitions (partition to next offset)."""
        result = WriteResult()
        try:
            joined = self._session.run(lambda store: self._store_writer.sweep(store, positions, window_seconds))
            self._health.joined(joined)
        except FencedError as error:
            result.fenced |= error.partitions
        except BaseException as error:  # noqa: BLE001  # the loop raises it
            result.error = error
        return result

    def decide(self, job: DecisionJob) -> WriteResult:
        """Decide on the clock's findings."""
        result = WriteResult(decided=[])
        try:
            result.decided = self._session.run(lambda store: self._store_writer.decide(store, job))
            self._health.decided(result.decided)
        except FencedError as error:
            result.fenced |= error.partitions
        except BaseException as error:  # noqa: BLE001  # the loop raises it
            result.error = error
        return result

    def close(self) -> None:
        """Close the session and the producer of dead letters."""
        self._session.close()
        self._dead_letters.close()

    def _write(self, batch: Batch, result: WriteResult) -> None:
        while batch:
            try:
                self._apply(batch, result)
            except FencedError as error:
                result.fenced |= error.partitions
                batch.drop(error.partitions)
            except NulTextError:
                batch.clean()
            except StoppedError:
                raise
            except Exception as error:  # noqa: BLE001  # a record causes it: isolate the record
                for part in batch.by_partition():
                    self._isolate(part, error, result)
                return
            else:
                return

    def _apply(self, batch: Batch, result: WriteResult) -> None:
        summary = self._session.run(lambda store: self._store_writer.apply(store, batch))
        if summary.events:
            self._breaker.stored(batch.spans)
        for event in summary.misdated:
            self._log_misdated(event)
        result.merge(WriteResult(summary))

    def _isolate(self, part: Batch, error: Exception, result: WriteResult) -> None:
        """Write one partition's batch in halves, until the bad record is alone."""
        (partition,) = part.spans
        if partition in result.fenced or partition in result.blocked:
            return
        try:
            self._apply(part, result)
        except FencedError:
            result.fenced.add(partition)
        except NulTextError:
            part.clean()
            self._isolate(part, error, result)
        except StoppedError:
            raise
        except Exception as cause:  # noqa: BLE001
            if len(part) > 1:
                for half in part.halves():
                    self._isolate(half, cause, result)
            else:
                self._dead_letter_refused(part, cause, result)

    def _dead_letter_refused(self, part: Batch, error: Exception, result: WriteResult) -> None:
        """Dead-letter the one record of `part`, which the store refuses, and continue after it."""
        if not part.readings:
            raise error
        (event,) = part.readings
        is_counted = not was_redriven(event.record)
        why = self._breaker.refused(event.partition, event.offset, self._permitted_until, is_counted=is_counted)
        if why is not None:
            detail = _breaker_message(event.partition, why, first_line(error))
            result.blocked[event.partition] = self._blocked(event.partition, event.offset, detail)
            return
        stage = "store" if isinstance(error, psycopg.Error) else "derive"
        bad = BadRecord(event.record, event.partition, event.offset, BadRecordError(stage, error))
        part.readings.clear()
        part.bad.append(bad)
        self._dead_letter(Batch([], [bad], dict(part.spans)), result)
        if event.partition not in result.blocked:
            self._isolate(part, error, result)

    def _stop_at_bad_records(self, batch: Batch, result: WriteResult) -> None:
        """Cut a batch where so many records are bad that something else must be wrong."""
        # Unsigned records do not count: otherwise anybody who may write to the topic could stop its partitions.
        bad = {(item.partition, item.offset): item.error for item in batch.bad if not item.error.is_unsigned}
        watched = {partition for partition in batch.spans if self._breaker.watches(partition)}
        for partition in {partition for partition, _ in bad} | watched:
            records: list[tuple[int, bool | None]] = [
                (event.offset, False) for event in batch.readings if event.partition == partition
            ]
            records += [
                (item.offset, None if item.error.is_unsigned or was_redriven(item.record) else True)
                for item in batch.bad
                if item.partition == partition
            ]
            records.sort(key=itemgetter(0))
            stop = self._breaker.check_records(partition, records, self._permitted_until)
            if stop is not None:
                offset, why = stop
                detail = _breaker_message(partition, why, str(bad[partition, offset]))
                result.blocked[partition] = self._blocked(partition, offset, detail)
                batch.cut(partition, offset)

    def _permitted_until(self, partition: int) -> int:
        """Return the offset (exclusive) up to which an operator permits bad records; 0 while the store is down."""
        topic = {"topic": self._store_writer.topic, "topic_id": self._store_writer.topic_id, "partition": partition}

        def read(store: Connection[Any]) -> int:
            row = store.execute(query("load_bad_record_limit"), topic).fetchone()
            return int(row[0]) if row else 0

        return self._session.query_or(0, read)

    def _dead_letter(self, batch: Batch, result: WriteResult) -> None:
        refusals = self._dead_letters.send(batch.bad)
        sent: dict[int, list[BadRecord]] = {}
        for item in batch.bad:
            refusal = refusals.get((item.partition, item.offset))
            if refusal is None:
                self._health.dead_lettered(item.error.stage)
                sent.setdefault(item.partition, []).append(item)
            elif item.partition not in result.blocked and not item.error.is_unsigned:
                detail = f"the dead letter topic does not accept a record: {refusal}"
                result.blocked[item.partition] = self._blocked(item.partition, item.offset, detail)
                batch.cut(item.partition, item.offset)
        for partition, items in sent.items():
            self._log_dead_letters(partition, items)

    def _log_dead_letters(self, partition: int, items: list[BadRecord]) -> None:
        """Log once for a batch and partition, with the first record's reason."""
        first = items[0]
        more = f" and {len(items) - 1} more" if len(items) > 1 else ""
        text = f"Sent record {partition}:{first.offset}{more} to the dead letter topic ({first.error.stage})"
        self._state_log.say(f"bad-{partition}", f"{text}: {first.error}")

    def _log_misdated(self, event: DecodedEvent) -> None:
        host = event.fact.origin.host or ""
        if event.claimed_at is None:
            text = (
                "An event of {host} is older than requests are stored, so nothing is derived from it: check the clock "
                "of that host, and when its relay last worked."
            )
        else:
            away = distance(event.claimed_at - event.occurred_at)
            text = (
                f"An event of {{host}} claims a time {away} the time at which Kafka received it, which replaces it: "
                "set the clock of that host."
            )
        self._notices.add("event", host, text)

    def _blocked(self, partition: int, offset: int, detail: str) -> PartitionStatus:
        state = PartitionState.BAD_RECORDS
        return PartitionStatus(self._store_writer.topic, partition, state, offset, detail=detail)


def _breaker_message(partition: int, why: str, last: str) -> str:
    return (
        f"{why}, the last one: {last.rstrip('.')}. Nothing is dropped; the partition resumes once the record is "
        f"accepted, or after `stumble dlq let-through --partition {partition}`"
    )
