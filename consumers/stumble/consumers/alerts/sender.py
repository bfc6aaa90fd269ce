"""The thread that sends webhooks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stumble.consumers.alerts.lease import SECONDS
from stumble.consumers.alerts.receivers.webhooks import Webhooks
from stumble.consumers.alerts.worker import Worker

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.consumers.alerts.settings import AlertSettings

_IDLE = 0.05


class Sender(Worker):
    """Sends what is due until `stop` is set."""

    def __init__(
        self, url: str, settings: AlertSettings, stop: threading.Event, lease_seconds: float = SECONDS
    ) -> None:
        super().__init__("webhooks", url, stop, lease_seconds)
        self._webhooks = Webhooks(settings)

    def begin(self, connection: Connection[Any]) -> None:
        """Nothing: what is due lies in the store."""

    def work(self, connection: Connection[Any]) -> float:
        """Send what is due."""
        return 0.0 if self._webhooks.send(connection) else _IDLE

    def close(self) -> None:
        """End the threads and the connections to subscribers."""
        self._webhooks.close()
