"""The writing half of the projector: a thread that puts batches into the store, whatever the store does meanwhile."""

from __future__ import annotations

import queue
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from stumble.consumers.projector.batch import BadRecord, Batch
from stumble.consumers.projector.errors import (
    RECORD_FAULT,
    RETRY,
    STORE_DOWN,
    BadRecordError,
    FencedError,
    NulTextError,
)
from stumble.consumers.store.adapters import register
from stumble.consumers.store.connect import StoreUnavailableError, connect
from stumble.schemas.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection

    from stumble.consumers.dlq import DeadLetters
    from stumble.consumers.notices import Notices
    from stumble.consumers.projector.health import Health
    from stumble.consumers.projector.transaction import Applied, Ledger

T = TypeVar("T")
_FIRST_BACKOFF = 0.1
_LONGEST_BACKOFF = 5.0
#: The same batch again and again without success: something else is wrong, say so.
_RETRIES_UNTIL_SAID = 5
#: So many records in a row that can't be stored are no bad records: the partition waits for a person.
_MOST_IN_A_ROW = 20


class StoppedError(StumbleError):
    """The projector is asked to end while the store is away."""


@dataclass(slots=True)
class Sweep:
    """Look after the sightings of these partitions (partition to next offset)."""

    positions: dict[int, int]
    window_seconds: float


@dataclass(slots=True)
class Result:
    """What became of a job: the new offsets, and the partitions to read again."""

    applied: Applied | None = None
    fenced: set[int] = field(default_factory=set)
    #: Partition to offset and reason: the dead letter topic did not take the record there.
    blocked: dict[int, tuple[int, str]] = field(default_factory=dict)
    error: BaseException | None = None


class Writer(threading.Thread):
    """Writes one job at a time. `submit` only when `idle`; results come back through `results`."""

    def __init__(
        self, url: str, ledger: Ledger, letters: DeadLetters, health: Health, notices: Notices, application: str
    ) -> None:
        super().__init__(name="writer", daemon=True)
        self.results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Batch | Sweep | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._ending = threading.Event()
        self._url = url
        self._ledger = ledger
        self._letters = letters
        self._health = health
        self._notices = notices
        self._application = application
        self._connection: Connection[Any] | None = None
        self._bad_in_a_row = 0

    @property
    def idle(self) -> bool:
        """Whether a job may be submitted."""
        return self._idle.is_set()

    def submit(self, job: Batch | Sweep) -> None:
        """Hand over a job."""
        self._idle.clear()
        self._jobs.put(job)

    def wait(self, seconds: float) -> bool:
        """Wait until the writer is idle; False when it still isn't."""
        return self._idle.wait(seconds)

    def end(self) -> None:
        """Finish the job in hand, unless the store is away, and end the thread."""
        self._ending.set()
        self._jobs.put(None)

    def run(self) -> None:
        """Work until told to end."""
        while (job := self._jobs.get()) is not None:
            result = Result()
            try:
                if isinstance(job, Batch):
                    self._batch(job, result)
                else:
                    self._sweep(job, result)
            except BaseException as error:  # noqa: BLE001  # the thread's owner raises it
                result.error = error
            self.results.put(result)
            self._idle.set()
        if self._connection is not None:
            self._connection.close()

    def _batch(self, batch: Batch, result: Result) -> None:
        self._dead_letter(batch, result)
        while batch:
            try:
                self._merge(result, self._steady(lambda: self._ledger.apply(self._session(), batch)))
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

    def _isolate(self, batch: Batch, error: Exception, result: Result) -> None:
        """Apply what is good of a batch, partition by partition, half by half, until the bad record stands alone."""
        for part in batch.by_partition():
            self._isolate_one(part, error, result)

    def _isolate_one(self, part: Batch, error: Exception, result: Result) -> None:
        (partition,) = part.spans
        if partition in result.fenced or partition in result.blocked:
            return
        try:
            self._merge(result, self._steady(lambda: self._ledger.apply(self._session(), part)))
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

    def _give_up_on(self, part: Batch, error: Exception, result: Result) -> None:
        """Dead-letter the one record of `part` and go past it."""
        if not part.readings:
            raise error
        (reading,) = part.readings
        if self._bad_in_a_row >= _MOST_IN_A_ROW:
            reason = f"{self._bad_in_a_row} records in a row can't be stored, the last because of {_line(error)}"
            result.blocked[reading.partition] = (reading.offset, reason)
            return
        self._bad_in_a_row += 1
        stage = "store" if isinstance(error, psycopg.Error) else "derive"
        bad = BadRecord(reading.record, reading.partition, reading.offset, BadRecordError(stage, error))
        part.readings.clear()
        part.bad.append(bad)
        self._dead_letter(Batch([], [bad], dict(part.spans)), result)
        if reading.partition not in result.blocked:
            self._isolate_one(part, error, result)

    def _merge(self, result: Result, applied: Applied) -> None:
        if applied.events:
            self._bad_in_a_row = 0
        if result.applied is None:
            result.applied = applied
        else:
            result.applied.add(applied)

    def _sweep(self, sweep: Sweep, result: Result) -> None:
        try:
            joined = self._steady(lambda: self._ledger.sweep(self._session(), sweep.positions, sweep.window_seconds))
            self._health.joined(joined)
        except FencedError as error:
            result.fenced |= error.partitions

    def _dead_letter(self, batch: Batch, result: Result) -> None:
        failed = self._letters.send(batch.bad)
        for item in batch.bad:
            reason = failed.get((item.partition, item.offset))
            if reason is None:
                self._health.dead_lettered(item.error.stage)
                self._notices.say(
                    f"bad-{item.partition}",
                    f"Record {item.partition}:{item.offset} went to the dead letter topic ({item.error.stage}): "
                    f"{item.error}",
                )
            elif item.partition not in result.blocked:
                result.blocked[item.partition] = (item.offset, reason)
                batch.cut(item.partition, item.offset)

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
                self._health.retried(type(error).__name__)
                if attempt >= _RETRIES_UNTIL_SAID:
                    self._notices.say("retry", f"The store refuses a batch for now and is tried again: {_line(error)}")
                self._pause(attempt)
            except (StoreUnavailableError, *STORE_DOWN) as error:
                attempt += 1
                self._store_down(error)
                self._pause(attempt)
            else:
                self._notices.over("retry", "The store takes batches again.")
                self._notices.over("store", "The store answers again: reading goes on.")
                self._health.store_up()
                return done

    def _store_down(self, error: BaseException) -> None:
        known = isinstance(error, StoreUnavailableError)
        text = str(error) if known else f"The store failed: {_line(error)}"
        self._health.store_down(text)
        self._notices.say("store", f"{text} Reading pauses, nothing is lost.")
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


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


__all__ = ["Result", "StoppedError", "Sweep", "Writer"]
