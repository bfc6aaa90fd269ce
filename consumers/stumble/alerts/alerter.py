"""Publishes the projector's publications to the two topics: one alerter at a time, without gaps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stumble.alerts.delivery import UndeliveredError
from stumble.alerts.lease import SECONDS
from stumble.alerts.lease_worker import LeaseWorker
from stumble.alerts.publications import PublicationCursor
from stumble.metrics import definitions as d
from stumble.runtime.timers import Timers
from stumble.wire.errors import RegistryUnavailable

if TYPE_CHECKING:
    import threading

    from psycopg import Connection

    from stumble.alerts.delivery import TopicPublisher
    from stumble.metrics.process import ProcessMetrics

_BATCH = 500
_IDLE_SECONDS = 0.1
_MEASURE_SECONDS = 5.0
_KAFKA_SECONDS = 4.0
#: A broker that restarts is back earlier.
_KAFKA_GONE_SECONDS = 8.0


class Alerter(LeaseWorker):
    """Publishes each revision at least once, in order for each failure and request."""

    receiver_errors = (UndeliveredError, RegistryUnavailable)

    def __init__(
        self,
        url: str,
        publisher: TopicPublisher,
        metrics: ProcessMetrics,
        stopping: threading.Event,
        lease_seconds: float = SECONDS,
    ) -> None:
        super().__init__("alerter", url, stopping, lease_seconds)
        self._cursor = PublicationCursor(self.lease)
        self._publisher = publisher
        self._metrics = metrics
        self._timers = Timers()

    def begin(self, connection: Connection[Any]) -> None:
        """Continue at the cursor of the lease's last holder."""
        self._cursor.open(connection)
        self._metrics.gauge(d.ALERTER_ACTIVE).set(1)
        self.log.info("This alerter is active.")

    def work(self, connection: Connection[Any]) -> float:
        """Publish one batch. Kafka is asked every few seconds, so that an outage is noticed without publications."""
        if self._timers.past("kafka"):
            self._publisher.require_topics()
            self._timers.put_off("kafka", _KAFKA_SECONDS)
        rows = self._cursor.read(connection, _BATCH)
        if rows:
            self._publisher.send(rows)
            self._cursor.mark(connection, rows[-1])
            for row in rows:
                self._metrics.counter(d.ALERTER_PUBLISHED).labels(row.kind).inc()
        if self._timers.due("measure", _MEASURE_SECONDS):
            count, oldest = self._cursor.waiting(connection)
            self._metrics.gauge(d.ALERTER_BACKLOG).set(count)
            self._metrics.gauge(d.ALERTER_LAG).set(max(0.0, time.time() - oldest) if oldest else 0.0)
        return 0.0 if len(rows) == _BATCH else _IDLE_SECONDS

    def ready(self) -> tuple[bool, str]:
        """Return whether the store and Kafka answer, also while a send waits for a broker."""
        seconds = self._publisher.outage_seconds()
        if seconds > _KAFKA_GONE_SECONDS:
            return False, f"Kafka does not answer for {seconds:.0f} s: `stumble check brokers topics` shows why."
        return super().ready()

    def note_progress(self) -> None:
        """Note the progress in the metrics."""
        self._metrics.gauge(d.ALERTER_PROGRESS).set_to_current_time()

    def stand_by(self) -> None:
        """Report nothing: the active alerter reports the backlog."""
        for metric in (d.ALERTER_ACTIVE, d.ALERTER_BACKLOG, d.ALERTER_LAG):
            self._metrics.gauge(metric).set(0)
