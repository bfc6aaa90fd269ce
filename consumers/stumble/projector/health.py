"""The state of a projector: of each partition, of the services that it needs, and of its threads, since when.

The loop, the writer and the workers report here. The metrics, /healthz, /readyz and the rows of `partition_states` come
from here, so they cannot contradict each other.

- /readyz fails while data does not move: Kafka or the store does not answer, or a partition is blocked.
- /healthz fails only where a restart helps: a thread ended or is stuck while Kafka and the store answer.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stumble.metrics import definitions as d
from stumble.metrics.exposition import exemplar
from stumble.metrics.process import ProcessMetrics
from stumble.projector.partition_state import PartitionState, PartitionStatus, log_line
from stumble.runtime.worker import find_stuck_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from stumble.ingest.decisions import ClockFinding
    from stumble.ingest.transaction import WriteSummary
    from stumble.runtime.worker import Worker

#: The loop runs many times a second; if it has not run for this long, it is stuck.
_TURN_SECONDS = 60.0
#: Kafka is asked every two seconds. It is unavailable after this many seconds without an answer: fewer if its client
#: reports that the connection failed, more if the broker is only silent, as one that is overloaded may be.
_KAFKA_GONE_SECONDS, _KAFKA_SILENT_SECONDS = 8.0, 20.0
#: A group assigns partitions within a few session time-outs (6 s). Longer, and the client's attempt to join is stuck.
_GROUP_SECONDS = 120.0
#: Longer without an answer, and the ends of the partitions that it gave are not known any more.
_ENDS_KNOWN_SECONDS = 6.0
#: A call of the store that takes longer waits for something, unless the server shows that it works; see `store_works`.
_STORE_SILENT_SECONDS, _STORE_CALL_SECONDS = 20.0, 60.0
#: How long it counts that the server showed that it works.
_STORE_WORKS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ReportedState:
    """Why a partition is blocked (None: it is read), and since when."""

    block: PartitionStatus | None
    since: datetime

    @property
    def state(self) -> PartitionState:
        """The partition's state."""
        return PartitionState.READING if self.block is None else self.block.state


class ProjectorHealth:
    """Written by the loop, the writer and the workers; read by the metrics port, in its own threads."""

    def __init__(self, stuck_after: float, now: Callable[[], float] = time.monotonic) -> None:
        self.metrics = ProcessMetrics("projector")
        self._stuck_after = stuck_after
        self._now = now
        self._lock = threading.Lock()
        self._turned = self._progressed = now()
        self._kafka_answered_at = now()
        self._kafka_error = ""
        self._group_answered_at = now()
        self._store_error: str | None = None
        self._store_waits: str | None = None
        self._store_works_at = float("-inf")
        self._store_calls: dict[int, float] = {}
        #: When Kafka or the store did not answer last: threads that wait for them are not stuck.
        self._service_failed_at = float("-inf")
        self._states: dict[int, ReportedState] = {}
        self._workers: Sequence[Worker] = ()
        up = self.metrics.gauge(d.PROJECTOR_DEPENDENCY)
        up.labels("kafka").set_function(lambda: float(self.kafka_fault() is None))
        up.labels("store").set_function(lambda: float(self.store_fault() is None))
        for dependency in ("registry", "dead_letter_topic"):
            up.labels(dependency).set(1)
        self.metrics.gauge(d.PROJECTOR_PAUSED).set_function(lambda: float(self.store_fault() is not None))

    def watch_threads(self, workers: Sequence[Worker]) -> None:
        """Include these threads in /healthz."""
        self._workers = workers

    def turned(self, *, nothing_to_do: bool) -> None:
        """Note that the loop ran once; with nothing to do this counts as progress, if Kafka tells that it is so."""
        self._turned = self._now()
        if not nothing_to_do:
            return
        self._progressed = self._turned
        is_known = self.ends_are_known and self._store_error is None
        is_reading = not self._states or any(one.block is None for one in self._states.values())
        if is_known and is_reading:
            self.metrics.gauge(d.PROJECTOR_PROGRESS).set_to_current_time()

    def applied(self, applied: WriteSummary, seconds: float) -> None:
        """Note a committed batch."""
        metrics = self.metrics
        metrics.counter(d.PROJECTOR_EVENTS).inc(applied.events)
        metrics.counter(d.PROJECTOR_DUPLICATES).inc(applied.duplicates)
        metrics.counter(d.PROJECTOR_BATCHES).inc()
        metrics.histogram(d.PROJECTOR_BATCH_SECONDS).observe(seconds)
        for action, outcome, duration, request_id in applied.durations:
            labels = exemplar(request_id=request_id)
            metrics.histogram(d.REQUEST_DURATION).labels(action, outcome).observe(duration, labels)
        for lag in applied.lags:
            metrics.histogram(d.PIPELINE_LAG).observe(lag)
        self._progress()

    def joined(self, count: int) -> None:
        """Note a sweep."""
        if count:
            self._progress()

    def decided(self, findings: Sequence[ClockFinding]) -> None:
        """Note decisions about the clock's findings."""
        for finding in findings:
            self.metrics.counter(d.PROJECTOR_DECISIONS).labels(finding.evidence["cause"]).inc()

    def report_watermarks(self, times: Mapping[int, int]) -> None:
        """Note the watermark of each partition, UTC microseconds: all events before it are stored."""
        for partition in self._states.keys() - times.keys():
            self.metrics.gauge(d.PROJECTOR_WATERMARK).labels(str(partition)).set(0)
        for partition, until in times.items():
            self.metrics.gauge(d.PROJECTOR_WATERMARK).labels(str(partition)).set(until / 1e6)

    def dead_letters(self, count: int | None) -> None:
        """Note how many records the dead letter topic holds; None leaves the last number."""
        if count is not None:
            self.metrics.gauge(d.DEAD_LETTERS).set(count)

    def topic_retention(self, seconds: float | None) -> None:
        """Note how long Kafka keeps a record; None leaves the last number."""
        if seconds is not None:
            self.metrics.gauge(d.TOPIC_RETENTION).set(seconds)

    def dead_lettered(self, stage: str) -> None:
        """Note a record that went to the dead letter topic."""
        self.metrics.counter(d.PROJECTOR_BAD_RECORDS).labels(stage).inc()

    def signature_rejected(self, reason: str) -> None:
        """Note a record that was rejected for its signature."""
        self.metrics.counter(d.PROJECTOR_SIGNATURE_REJECTED).labels(reason).inc()

    def retried(self, cause: str) -> None:
        """Note a transaction that is tried again."""
        self.metrics.counter(d.PROJECTOR_RETRIES).labels(cause).inc()

    def fenced(self, count: int) -> None:
        """Note partitions whose offsets another projector has moved."""
        self.metrics.counter(d.PROJECTOR_FENCED).inc(count)

    # The services that the projector needs -----------------------------------------------------------

    def kafka_answered(self) -> None:
        """Note that the broker answered."""
        self._kafka_answered_at, self._kafka_error = self._now(), ""

    def kafka_failed(self, text: str) -> None:
        """Note that Kafka's client has no connection or no topic, with the sentence for the operator."""
        self._kafka_error = text

    @property
    def ends_are_known(self) -> bool:
        """Whether the broker answered so recently that what it said of the topic's ends still counts."""
        return not self._kafka_error and self._now() - self._kafka_answered_at <= _ENDS_KNOWN_SECONDS

    def kafka_fault(self) -> str | None:
        """Return why nothing can be read from Kafka; None while it answers."""
        silent = self._now() - self._kafka_answered_at
        if silent <= (_KAFKA_GONE_SECONDS if self._kafka_error else _KAFKA_SILENT_SECONDS):
            return None
        self._service_failed_at = self._now()
        if self._kafka_error:
            return self._kafka_error
        return f"Kafka has not answered for {silent:.0f} s; reading is paused, nothing is lost."

    def group_is_silent(self, *, is_member: bool) -> bool:
        """Return whether the group has assigned nothing for two minutes although Kafka answers.

        If so, the two minutes begin again: the caller joins the group with a new client, which needs time, too.
        """
        now = self._now()
        if is_member or self.kafka_fault():
            self._group_answered_at = now
        if now - self._group_answered_at <= _GROUP_SECONDS:
            return False
        self._group_answered_at = now
        return True

    def store_down(self, text: str) -> None:
        """Note that the store refuses work."""
        self._store_error = text

    def store_up(self) -> None:
        """Note that the store has done work."""
        self._store_error = None

    @contextmanager
    def store_call(self) -> Iterator[None]:
        """Measure how long a call of the store takes; one call at a time in each thread."""
        thread = threading.get_ident()
        with self._lock:
            self._store_calls[thread] = self._now()
        try:
            yield
        finally:
            with self._lock:
                del self._store_calls[thread]

    def store_works(self, waits: str | None) -> None:
        """Note that the server answers and shows the projector's sessions; `waits`: the fault that they wait for."""
        self._store_works_at, self._store_waits = self._now(), waits

    def store_fault(self) -> str | None:
        """Return why nothing can be stored; None while the store works."""
        fault = self._store_error or self.store_silence()
        if fault is not None:
            self._service_failed_at = self._now()
        return fault

    def store_silence(self) -> str | None:
        """Return since when a call of the store has not returned, if that is too long; no error reports it."""
        now = self._now()
        with self._lock:
            longest = now - min(self._store_calls.values(), default=now)
        has_shown = now - self._store_works_at <= _STORE_WORKS_SECONDS
        waits = self._store_waits if has_shown else None
        if waits is None:
            if longest <= (_STORE_CALL_SECONDS if has_shown else _STORE_SILENT_SECONDS):
                return None
            waits = "it does not answer"
        return f"The store has done nothing for {longest:.0f} s: {waits}. Reading is paused, nothing is lost."

    def dependency(self, name: str, is_up: bool) -> None:  # a callback of one argument
        """Note whether the registry or the dead letter topic answers; only partitions that need it are blocked."""
        self.metrics.gauge(d.PROJECTOR_DEPENDENCY).labels(name).set(float(is_up))

    # Partitions --------------------------------------------------------------------------------------

    def partitions(self, assigned: Collection[int], blocks: Sequence[PartitionStatus]) -> None:
        """Note which partitions this projector has, and which of them are blocked or retried without success so far."""
        for partition in self._states.keys() - set(assigned):
            for metric in (d.PROJECTOR_LAG, d.PROJECTOR_BACKLOG, d.PROJECTOR_WATERMARK):
                self._remove(metric, partition)
        by_number = {status.partition: status for status in blocks}
        self._states = {number: self._reported(number, by_number.get(number)) for number in assigned}
        self.metrics.gauge(d.PROJECTOR_ASSIGNED).set(len(assigned))
        self.metrics.gauge(d.PROJECTOR_BLOCKED).set(len(blocks))

    def states(self) -> dict[int, ReportedState]:
        """Return the state of each assigned partition."""
        return dict(self._states)

    def lag(self, partition: int, seconds: float, records: int | None) -> None:
        """Note how far behind a partition is; None: unknown, so its series are removed."""
        if records is None:
            for metric in (d.PROJECTOR_LAG, d.PROJECTOR_BACKLOG):
                self._remove(metric, partition)
            return
        self.metrics.gauge(d.PROJECTOR_LAG).labels(str(partition)).set(seconds)
        self.metrics.gauge(d.PROJECTOR_BACKLOG).labels(str(partition)).set(records)

    # Answers -----------------------------------------------------------------------------------------

    def live(self) -> tuple[bool, str]:
        """Return whether no thread is stuck, and why; one that waits for Kafka or for the store is not stuck."""
        fault = self.kafka_fault() or self.store_fault()
        now = self._now()
        if ended := find_stuck_thread(self._workers, self._service_failed_at):
            return False, ended
        if fault is not None:
            return True, fault
        turned, progressed = (max(at, self._service_failed_at) for at in (self._turned, self._progressed))
        if now - turned > _TURN_SECONDS:
            return False, f"reading loop stuck for {now - turned:.0f} s"
        if now - progressed > self._stuck_after:
            return False, f"nothing stored for {now - progressed:.0f} s although records wait"
        return True, "running"

    def ready(self) -> tuple[bool, str]:
        """Return whether data moves, and why not: a partition is assigned, none is blocked, Kafka and store answer."""
        if fault := self.kafka_fault() or self.store_fault():
            return False, fault
        if ended := find_stuck_thread(self._workers, self._service_failed_at):
            return False, ended
        blocks = [one.block for one in self._states.values() if one.block is not None]
        if blocks:
            return False, " ".join(log_line(status) for status in blocks)
        if not self._states:
            return False, "no partition assigned yet"
        return True, f"partitions read: {len(self._states)}"

    def _reported(self, number: int, block: PartitionStatus | None) -> ReportedState:
        reported = ReportedState(block, datetime.now(UTC))
        known = self._states.get(number)
        return reported if known is None or known.state is not reported.state else ReportedState(block, known.since)

    def _remove(self, metric: d.Metric, partition: int) -> None:
        with suppress(KeyError):  # it has no series yet
            self.metrics.gauge(metric).remove(str(partition))

    def _progress(self) -> None:
        self._progressed = self._now()
        self.metrics.gauge(d.PROJECTOR_PROGRESS).set_to_current_time()
