"""The projector's metrics, and its answers on /healthz (it makes progress) and /readyz (data moves)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stumble.metrics import definitions as d
from stumble.metrics.exposition import exemplar
from stumble.metrics.process import ProcessMetrics
from stumble.projector.partition_state import log_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stumble.ingest.decisions import ClockFinding
    from stumble.ingest.transaction import WriteSummary
    from stumble.projector.partition_state import PartitionStatus

#: The loop runs many times a second; if it has not run for this long, it is stuck.
_TURN_SECONDS = 60.0


class ProjectorHealth:
    """Written by the loop and the writer, read by the metrics port."""

    def __init__(self, stuck_after: float) -> None:
        self.metrics = ProcessMetrics("projector")
        self._stuck_after = stuck_after
        self._turned = time.monotonic()
        self._progressed = time.monotonic()
        self._store_error: str | None = None
        self._blocks: list[PartitionStatus] = []
        self._assigned: set[int] = set()

    def turned(self, *, nothing_to_do: bool) -> None:
        """Note that the loop ran once; with nothing to do this counts as progress."""
        self._turned = time.monotonic()
        if nothing_to_do:
            self._progress()

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
        for partition in self._assigned - times.keys():
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

    def store_down(self, text: str) -> None:
        """Note that the store is down."""
        self._store_error = text
        self.metrics.gauge(d.PROJECTOR_PAUSED).set(1)

    def store_up(self) -> None:
        """Note that the store answers."""
        if self._store_error is not None:
            self._store_error = None
            self.metrics.gauge(d.PROJECTOR_PAUSED).set(0)

    def partitions(self, assigned: Collection[int], blocks: Sequence[PartitionStatus]) -> None:
        """Note which partitions are read, and which of them are blocked."""
        for partition in self._assigned - set(assigned):
            for metric in (d.PROJECTOR_LAG, d.PROJECTOR_BACKLOG, d.PROJECTOR_WATERMARK):
                self.metrics.gauge(metric).remove(str(partition))
        self._assigned, self._blocks = set(assigned), list(blocks)
        self.metrics.gauge(d.PROJECTOR_ASSIGNED).set(len(assigned))
        self.metrics.gauge(d.PROJECTOR_BLOCKED).set(len(blocks))

    def lag(self, partition: int, seconds: float, records: int) -> None:
        """Note how far behind a partition is."""
        self.metrics.gauge(d.PROJECTOR_LAG).labels(str(partition)).set(seconds)
        self.metrics.gauge(d.PROJECTOR_BACKLOG).labels(str(partition)).set(records)

    def live(self) -> tuple[bool, str]:
        """Return whether the projector makes progress, and why not; a restart would not repair a store that is down."""
        now = time.monotonic()
        if now - self._turned > _TURN_SECONDS:
            return False, f"reading loop stuck for {now - self._turned:.0f} s"
        if self._store_error is None and now - self._progressed > self._stuck_after:
            return False, f"nothing stored for {now - self._progressed:.0f} s although records wait"
        return True, "running" if self._store_error is None else self._store_error

    def ready(self) -> tuple[bool, str]:
        """Return whether data moves, and why not: a partition is assigned, none is blocked, the store answers."""
        if self._store_error is not None:
            return False, self._store_error
        if self._blocks:
            return False, " ".join(log_line(status) for status in self._blocks)
        if not self._assigned:
            return False, "no partition assigned yet"
        return True, f"partitions read: {len(self._assigned)}"

    def _progress(self) -> None:
        self._progressed = time.monotonic()
        self.metrics.gauge(d.PROJECTOR_PROGRESS).set_to_current_time()
