"""One session with the store that puts batches into it, whatever the store does meanwhile.

A batch is applied whole. What is wrong with the records is told apart from what is wrong with the store: a conflict
is tried again, a store that is away is waited for, a record that can't be stored is found and dead-lettered alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.errors import LockNotAvailable

from stumble.ingest.batch import BadRecord, Batch
from stumble.ingest.errors import RECORD_FAULT, RETRY, STORE_DOWN, BadRecordError, FencedError, NulTextError
from stumble.store.adapters import register
from stumble.store.connect import StoreUnavailableError, connect
from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from psycopg import Connection

    from stumble.deadletters.producer import DeadLetterProducer
    from stumble.ingest.decisions import ClockFinding, DecisionJob
    from stumble.ingest.transaction import StoreWriter, WriteSummary
    from stumble.projector.breaker import CircuitBreaker
    from stumble.projector.health import ProjectorHealth
    from stumble.runtime.state_log import StateLog

T = TypeVar("T")
_FIRST_BACKOFF = 0.1
_LONGEST_BACKOFF = 5.0
#: The same batch again and again without success: something else is wrong, say so.
_RETRIES_UNTIL_SAID = 5


class StoppedError(StumbleError):
    """The projector is asked to end while the store is away."""


@dataclass(slots=True)
class WriteResult:
    """What became of a job: the new offsets, and the partitions to read again."""

    applied: WriteSummary | None = None
    fenced: set[int] = field(default_factory=set)
    #: Partition to offset and reason: the dead letter topic did not take the record there.
    blocked: dict[int, tuple[int, str]] = field(default_factory=dict)
    error: BaseException | None = None
    #: What was decided upon, of the findings that were handed over; None where none were.
    decided: list[ClockFinding] | None = None

    def merge(self, other: WriteResult) -> None:
        """Take in what became of another part of the same job."""
        if self.applied is None:
            self.applied = other.applied
        elif other.applied is not None:
            self.applied.add(other.applied)
        self.fenced |= other.fenced
        self.blocked.update(other.blocked)
        self.error = self.error or other.error


@dataclass(slots=True)
class Tools:
    """What the lanes of a writer share."""

    url: str
    ledger: StoreWriter
    letters: DeadLetterProducer
    breaker: CircuitBreaker
    health: ProjectorHealth
    notices: StateLog
    application: str
    ending: threading.Event


class BatchWriter:
    """Applies one batch at a time in a session of its own."""

    def __init__(self, tools: Tools) -> None:
        self._ledger = tools.ledger
        self._letters = tools.letters
        self._breaker = tools.breaker
        self._health = tools.health
        self._notices = tools.notices
        self._ending = tools.ending
        self._url = tools.url
        self._application = tools.application
        self._connection: Connection[Any] | None = None

    def write(self, batch: Batch) -> WriteResult:
        """Put a batch into the store; what can't be done is in the result."""
        result = WriteResult()
        try:
            self._batch(batch, result)
        except BaseException as error:  # noqa: BLE001  # the thread that reads raises it
            result.error = error
        return result

    def sweep(self, positions: dict[int, int], window_seconds: float) -> WriteResult:
        """Look after the sightings of partitions (partition to next offset)."""
        result = WriteResult()
        try:
            joined = self._steady(lambda: self._ledger.sweep(self._session(), positions, window_seconds))
            self._health.joined(joined)
        except FencedError as error:
            result.fenced |= error.partitions
        except BaseException as error:  # noqa: BLE001  # the thread that reads raises it
            result.error = error
        return result

    def decide(self, job: DecisionJob) -> WriteResult:
        """Decide upon findings of the clock."""
        result = WriteResult(decided=[])
        try:
            result.decided = self._steady(lambda: self._ledger.decide(self._session(), job))
            self._health.decided(result.decided)
        except FencedError as error:
            result.fenced |= error.partitions
        except BaseException as error:  # noqa: BLE001  # the thread that reads raises it
            result.error = error
        return result

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()

    def _batch(self, batch: Batch, result: WriteResult) -> None:
        self._hold_back(batch, result)
        self._dead_letter(batch, result)
        while batch:
            try:
                self._merge(result, self._steady(lambda: self._ledger.apply(self._session(), batch)), batch)
            except FencedError as error:
                result.fenced |= error.partitions
                batch.drop(error.partitions)
            except NulTextError:
                for reading in batch.readings:
                    reading.clean()
            except Exception as error:  # noqa: BLE001  # a record's fault: find the record
                self._isolate(batch, error, result)
                return
            else:
                return

    def _isolate(self, batch: Batch, error: Exception, result: WriteResult) -> None:
        """Apply what is good of a batch, partition by partition, half by half, until the bad record stands alone."""
        for part in batch.by_partition():
            self._isolate_one(part, error, result)

    def _isolate_one(self, part: Batch, error: Exception, result: WriteResult) -> None:
        (partition,) = part.spans
        if partition in result.fenced or partition in result.blocked:
            return
        try:
            self._merge(result, self._steady(lambda: self._ledger.apply(self._session(), part)), part)
        except FencedError:
            result.fenced.add(partition)
        except NulTextError:
            for reading in part.readings:
                reading.clean()
            self._isolate_one(part, error, result)
        except StoppedError:
            raise
        except Exception as found:  # noqa: BLE001
            if len(part) > 1:
                for half in part.halves():
                    self._isolate_one(half, found, result)
            else:
                self._give_up_on(part, found, result)

    def _give_up_on(self, part: Batch, error: Exception, result: WriteResult) -> None:
        """Dead-letter the one record of `part` and go past it."""
        if not part.readings:
            raise error
        (reading,) = part.readings
        why = self._breaker.refused(reading.partition, reading.offset, self._permit)
        if why is not None:
            result.blocked[reading.partition] = (reading.offset, _held_back(reading.partition, why, _line(error)))
            return
        stage = "store" if isinstance(error, psycopg.Error) else "derive"
        bad = BadRecord(reading.record, reading.partition, reading.offset, BadRecordError(stage, error))
        part.readings.clear()
        part.bad.append(bad)
        self._dead_letter(Batch([], [bad], dict(part.spans)), result)
        if reading.partition not in result.blocked:
            self._isolate_one(part, error, result)

    def _hold_back(self, batch: Batch, result: WriteResult) -> None:
        """Cut a batch where so many records are bad that something else must be wrong."""
        bad = {(item.partition, item.offset): item.error for item in batch.bad}
        for partition in {place[0] for place in bad} | {p for p in batch.spans if self._breaker.watches(p)}:
            good = ((item.offset, False) for item in batch.readings if item.partition == partition)
            records = sorted([*good, *((offset, True) for number, offset in bad if number == partition)])
            stop = self._breaker.look(partition, records, self._permit)
            if stop is not None:
                offset, why = stop
                result.blocked[partition] = (offset, _held_back(partition, why, str(bad[partition, offset])))
                batch.cut(partition, offset)

    def _permit(self, partition: int) -> int:
        """Ask up to which offset a person lets bad records through; a store that is away permits none."""
        asked = {"topic": self._ledger.topic, "topic_id": self._ledger.topic_id, "partition": partition}
        try:
            row = self._session().execute(query("load_bad_record_limit"), asked).fetchone()
        except (StoreUnavailableError, psycopg.Error):
            return 0
        return int(row[0]) if row else 0

    def _merge(self, result: WriteResult, applied: WriteSummary, batch: Batch) -> None:
        if applied.events:
            self._breaker.stored(batch.spans)
        result.merge(WriteResult(applied))

    def _dead_letter(self, batch: Batch, result: WriteResult) -> None:
        failed = self._letters.send(batch.bad)
        gone: dict[int, list[BadRecord]] = {}
        for item in batch.bad:
            reason = failed.get((item.partition, item.offset))
            if reason is None:
                self._health.dead_lettered(item.error.stage)
                gone.setdefault(item.partition, []).append(item)
            elif item.partition not in result.blocked:
                result.blocked[item.partition] = (
                    item.offset,
                    f"the dead letter topic does not take a record: {reason}",
                )
                batch.cut(item.partition, item.offset)
        for partition, items in gone.items():
            self._tell(partition, items)

    def _tell(self, partition: int, gone: list[BadRecord]) -> None:
        """Say once a batch and partition what went to the dead letter topic, with the first one's reason."""
        first = gone[0]
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        where = f"Record {partition}:{first.offset}{more} went to the dead letter topic"
        self._notices.say(f"bad-{partition}", f"{where} ({first.error.stage}): {first.error}")

    def _steady(self, work: Callable[[], T]) -> T:
        """Do `work` until it is done or the records are to blame: retry conflicts, wait for the store."""
        attempt = 0
        while True:
            try:
                done = work()
            except RECORD_FAULT:
                raise
            except RETRY as error:
                attempt += 1
                if isinstance(error, LockNotAvailable):
                    self._unlock()
                self._health.retried(type(error).__name__)
                if attempt >= _RETRIES_UNTIL_SAID:
                    self._notices.say("retry", f"The store refuses a batch for now and is tried again: {_line(error)}")
                self._pause(attempt)
            except (StoreUnavailableError, *STORE_DOWN) as error:
                attempt += 1
                self._store_down(error, again=attempt > 1)
                self._pause(attempt)
            else:
                self._notices.over("retry", "The store takes batches again.")
                self._notices.over("store", "The store answers again: reading goes on.")
                self._health.store_up()
                return done

    def _unlock(self) -> None:
        """Get past a writer that was stopped in its transaction."""
        try:
            for name in self._ledger.end_stopped(self._session()):
                self._notices.say("stopped", f"The session of {name} was ended: it stood still in a transaction.")
        except (StoreUnavailableError, psycopg.Error) as error:
            self._notices.say("stopped", f"A stopped writer's session can't be ended: {_line(error)}")

    def _store_down(self, error: BaseException, *, again: bool) -> None:
        """Say that reading pauses, if a new session fares no better: one that broke while idle is no outage."""
        known = isinstance(error, StoreUnavailableError)
        text = str(error) if known else f"The store failed: {_line(error)}"
        self._health.store_down(text)
        if again:
            self._notices.begin("store", f"{text.rstrip('.')}. Reading pauses, nothing is lost.")
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _pause(self, attempt: int) -> None:
        longest = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(attempt, 10))
        if self._ending.wait(random.uniform(longest / 2, longest)):  # noqa: S311  # no secret
            raise StoppedError("The projector ends while the store is away: the batch is read again later.")

    def _session(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, application=self._application)
            register(self._connection)
        return self._connection


def _held_back(partition: int, why: str, last: str) -> str:
    return (
        f"{why}, the last because of {last.rstrip('.')}. None is dropped: it goes on when the record can be taken in, "
        f"or `stumble dlq let-through --partition {partition}` lets such records go to the dead letter topic"
    )


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
