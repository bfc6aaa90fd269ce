"""The thread that sends webhooks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stumble.alerts.lease import SECONDS
from stumble.alerts.lease_worker import LeaseWorker
from stumble.metrics import definitions as d
from stumble.runtime.timers import Timers
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.receivers.webhooks import Webhooks
    from stumble.metrics.process import ProcessMetrics

_IDLE = 0.05
#: Seconds between two counts of the waiting messages.
COUNT_SECONDS = 5.0


class WebhookSender(LeaseWorker):
    """Sends due messages until `stopping` is set."""

    def __init__(
        self,
        url: str,
        webhooks: Webhooks,
        metrics: ProcessMetrics,
        stopping: threading.Event,
        lease_seconds: float = SECONDS,
        count_seconds: float = COUNT_SECONDS,
    ) -> None:
        super().__init__("webhooks", url, stopping, lease_seconds)
        self._metrics = metrics
        self._webhooks = webhooks
        self._count_seconds = count_seconds
        self._timers = Timers()

    def begin(self, connection: Connection[Any]) -> None:
        """Do nothing: the store holds the due messages."""

    def work(self, connection: Connection[Any]) -> float:
        """Send due messages."""
        if self._timers.due("count", self._count_seconds):
            waiting, oldest = connection.execute(query("count_waiting_deliveries")).fetchone() or (0, 0.0)
            self._report_queue(waiting, oldest)
        return 0.0 if self._webhooks.send(connection) else _IDLE

    def stand_by(self) -> None:
        """Report no queue: another alerter works on it."""
        self._report_queue(0, 0.0)

    def _report_queue(self, waiting: int, oldest: float) -> None:
        self._metrics.gauge(d.WEBHOOK_BACKLOG).set(waiting)
        self._metrics.gauge(d.WEBHOOK_LAG).set(oldest)

    def close(self) -> None:
        """End the threads and the connections to subscribers, and the connection to the store."""
        self._webhooks.close()
        super().close()
