"""The thread that sends webhooks, with a lease and a connection of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.consumers.alerts.lease import SECONDS, Lease
from stumble.consumers.alerts.receivers.webhooks import Webhooks
from stumble.consumers.notices import Notices
from stumble.consumers.store.connect import StoreError, connect
from stumble.consumers.store.version import require_current

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.consumers.alerts.settings import AlertSettings

LOG = logging.getLogger("stumble.webhooks")
_IDLE = 0.1
_STANDBY = 1.0
_LONGEST_BACKOFF = 5.0


class Sender(threading.Thread):
    """Sends what is due until `stop` is set; one at a time over all alerters."""

    def __init__(
        self, url: str, settings: AlertSettings, stop: threading.Event, lease_seconds: float = SECONDS
    ) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._url = url
        self._stop_asked = stop
        self._lease = Lease("webhooks", lease_seconds)
        self._webhooks = Webhooks(settings)
        self._notices = Notices(LOG)
        self._connection: Connection[Any] | None = None

    def run(self) -> None:
        """Work until told to stop; wait for a store that is away."""
        failures = 0
        while not self._stop_asked.is_set():
            try:
                pause = self._turn()
                failures = 0
                self._notices.over("trouble", "Webhooks go on.")
            except (StoreError, psycopg.Error) as error:
                failures += 1
                pause = min(_LONGEST_BACKOFF, 0.2 * 2 ** min(failures, 6))
                self._away(error)
            self._stop_asked.wait(pause)
        self._leave()

    def _turn(self) -> float:
        if self._connection is None or self._connection.closed:
            require_current(self._url)
            self._connection = connect(self._url, application="stumble-webhooks")
        if not self._lease.held(self._connection):
            return _STANDBY
        return 0.0 if self._webhooks.send(self._connection) else _IDLE

    def _away(self, error: Exception) -> None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        self._notices.say("trouble", f"{lines[0]} Webhooks wait, nothing is lost.")
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lease.lose()

    def _leave(self) -> None:
        self._webhooks.close()
        if self._connection is None or self._connection.closed:
            return
        try:
            self._lease.leave(self._connection)
            self._connection.close()
        except psycopg.Error:
            LOG.warning("The store is away: the lease of webhooks ends by itself.")
