"""The alerter: publishes what the projector laid down, one alerter at a time, nothing left out."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.alerts.delivery import TopicPublisher, UndeliveredError
from stumble.alerts.lease import SECONDS, Lease, LeaseLostError
from stumble.alerts.publications import PublicationCursor
from stumble.metrics import definitions as d
from stumble.metrics.process import ProcessMetrics
from stumble.runtime.state_log import StateLog
from stumble.store.connect import StoreError, connect, require_database_url
from stumble.store.version import require_current
from stumble.wire.errors import RegistryUnavailable

if TYPE_CHECKING:
    import threading

    from psycopg import Connection

    from stumble.settings.base import Settings

LOG = logging.getLogger("stumble.alerter")
_BATCH = 500
_IDLE = 0.1
_STANDBY = 1.0
_LOOK_EVERY = 5.0
_LONGEST_BACKOFF = 5.0
_STUCK_AFTER = 120.0


class Alerter:
    """Delivers publications until told to stop. Start two and one stands by."""

    def __init__(self, settings: Settings, *, lease_seconds: float = SECONDS) -> None:
        self._url = settings.database_url.get_secret_value()
        self._lease = Lease("alerter", lease_seconds)
        self._feed = PublicationCursor(self._lease)
        self._delivery = TopicPublisher(settings.kafka)
        self._notices = StateLog(LOG)
        self.metrics = ProcessMetrics("alerter")
        self._connection: Connection[Any] | None = None
        self._active = False
        self._trouble: str | None = None
        self._progressed = time.monotonic()
        self._looked = 0.0

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; wait for a store or a broker that is away."""
        require_database_url(self._url)  # fail now instead of waiting for an invalid URL to answer
        failures = 0
        while not stop.is_set():
            try:
                pause = self._turn()
                failures = 0
                self._well()
            except LeaseLostError as error:
                self._lease.lose()
                self._stand_by()
                pause = 0.0
                LOG.warning("%s", error)
            except (StoreError, psycopg.Error, UndeliveredError, RegistryUnavailable) as error:
                failures += 1
                pause = min(_LONGEST_BACKOFF, 0.2 * 2 ** min(failures, 6))
                self._ill(error)
            if pause:
                stop.wait(pause)
        self._leave()

    def live(self) -> tuple[bool, str]:
        """Progress is life; trouble outside is no reason to be restarted."""
        if self._trouble is not None:
            return True, self._trouble
        still = time.monotonic() - self._progressed
        if still > _STUCK_AFTER:
            return False, f"nothing was delivered for {still:.0f} s though there is work"
        return True, "active" if self._active else "standing by"

    def ready(self) -> tuple[bool, str]:
        """Ready: the store and the broker answer."""
        return self._trouble is None, self._trouble or ("active" if self._active else "standing by")

    def _turn(self) -> float:
        """Deliver one batch; returns how long to wait for the next."""
        connection = self._session()
        if not self._lease.held(connection):
            self._stand_by()
            self._progress()
            return _STANDBY
        if not self._active:
            self._feed.open(connection)
            self._active = True
            self.metrics.gauge(d.ALERTER_ACTIVE).set(1)
            LOG.info("This alerter is active.")
        rows = self._feed.read(connection, _BATCH)
        if rows:
            self._delivery.send(rows)
            self._feed.mark(connection, rows[-1])
            for row in rows:
                self.metrics.counter(d.ALERTER_PUBLISHED).labels(row.kind).inc()
        self._progress()
        self._measure(connection)
        return 0.0 if len(rows) == _BATCH else _IDLE

    def _measure(self, connection: Connection[Any]) -> None:
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._looked = time.monotonic()
            count, oldest = self._feed.waiting(connection)
            self.metrics.gauge(d.ALERTER_BACKLOG).set(count)
            self.metrics.gauge(d.ALERTER_LAG).set(max(0.0, time.time() - oldest) if oldest else 0.0)

    def _session(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            require_current(self._url)
            self._connection = connect(self._url, application="stumble-alerter")
        return self._connection

    def _stand_by(self) -> None:
        self._active = False
        for metric in (d.ALERTER_ACTIVE, d.ALERTER_BACKLOG, d.ALERTER_LAG):  # the active one says how much waits
            self.metrics.gauge(metric).set(0)

    def _progress(self) -> None:
        self._progressed = time.monotonic()
        self.metrics.gauge(d.ALERTER_PROGRESS).set_to_current_time()

    def _ill(self, error: Exception) -> None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        self._trouble = lines[0]
        self._notices.say("trouble", f"{lines[0]} The alerter waits, nothing is lost.")
        if isinstance(error, psycopg.Error) and self._connection is not None:
            self._connection.close()
            self._connection = None
            self._stand_by()
            self._lease.lose()

    def _well(self) -> None:
        self._trouble = None
        self._notices.over("trouble", "The alerter goes on.")

    def _leave(self) -> None:
        if self._connection is None or self._connection.closed:
            return
        try:
            if self._active:
                self._lease.leave(self._connection)
            self._connection.close()
        except psycopg.Error:
            LOG.warning("The store is away: the lease ends by itself.")
