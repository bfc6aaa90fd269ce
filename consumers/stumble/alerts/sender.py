"""The thread that sends webhooks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stumble.alerts.lease import SECONDS
from stumble.alerts.lease_worker import LeaseWorker
from stumble.alerts.receivers.webhooks import Webhooks
from stumble.metrics import definitions as d
from stumble.runtime.timers import Timers
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.settings import AlertSettings
    from stumble.metrics.process import ProcessMetrics

_IDLE = 0.05
_LOOK_EVERY = 5.0


class WebhookSender(LeaseWorker):
    """Sends what is due until `stop` is set."""

    def __init__(
        self,
        url: str,
        settings: AlertSettings,
        metrics: ProcessMetrics,
        stopping: threading.Event,
        lease_seconds: float = SECONDS,
    ) -> None:
        super().__init__("webhooks", url, stopping, lease_seconds)
        self._metrics = metrics
        self._webhooks = Webhooks(settings, metrics=self._metrics)
        self._timers = Timers()

    def begin(self, connection: Connection[Any]) -> None:
        """Nothing: what is due lies in the store."""

    def work(self, connection: Connection[Any]) -> float:
        """Send what is due."""
        if self._timers.due("look", _LOOK_EVERY):
            waiting, oldest = connection.execute(query("count_waiting_deliveries")).fetchone() or (0, 0.0)
            self._say(waiting, oldest)
        return 0.0 if self._webhooks.send(connection) else _IDLE

    def stand_by(self) -> None:
        """Say nothing of a queue that another one works on."""
        self._say(0, 0.0)

    def _say(self, waiting: int, oldest: float) -> None:
        self._metrics.gauge(d.WEBHOOK_BACKLOG).set(waiting)
        self._metrics.gauge(d.WEBHOOK_LAG).set(oldest)

    def close(self) -> None:
        """End the threads and the connections to subscribers, and the session with the store."""
        self._webhooks.close()
        super().close()
