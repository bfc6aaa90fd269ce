"""Alerting beside publishing: a thread with a lease, a cursor and a connection of its own.

A receiver that is slow or away delays neither the topics nor the other receivers.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg

from stumble.consumers.alerts import subscriptions
from stumble.consumers.alerts.engine import Engine
from stumble.consumers.alerts.feed import Feed
from stumble.consumers.alerts.lease import SECONDS, Lease, LeaseLostError
from stumble.consumers.alerts.receivers.alertmanager import Alertmanager, AlertmanagerError
from stumble.consumers.alerts.rules import RulesError, load_rules
from stumble.consumers.notices import Notices
from stumble.consumers.store.connect import StoreError, connect
from stumble.consumers.store.queries import query
from stumble.consumers.store.version import require_current

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.consumers.alerts.settings import AlertSettings

LOG = logging.getLogger("stumble.alerts")
_BATCH = 1000
_IDLE = 0.05
_STANDBY = 1.0
_REST_EVERY = 1.0
_RELOAD_EVERY = 2.0
_LONGEST_BACKOFF = 5.0


class Pusher(threading.Thread):
    """Applies the rules and tells Alertmanager until `stop` is set. Raises ``RulesError`` where it is made."""

    def __init__(
        self, url: str, settings: AlertSettings, stop: threading.Event, lease_seconds: float = SECONDS
    ) -> None:
        super().__init__(name="alerts", daemon=True)
        self._url = url
        self._settings = settings
        self._stop_asked = stop
        self._engine = Engine(load_rules(settings.rules))
        self._read_at = self._modified()
        self._lease = Lease("alerts", lease_seconds)
        self._feed = Feed(self._lease)
        self._alertmanager = Alertmanager(settings)
        self._notices = Notices(LOG)
        self._connection: Connection[Any] | None = None
        self._open = False
        self._timers: dict[str, float] = {}

    def run(self) -> None:
        """Work until told to stop; wait for a store or an Alertmanager that is away."""
        failures = 0
        while not self._stop_asked.is_set():
            try:
                pause = self._turn()
                failures = 0
                self._notices.over("trouble", "Alerting goes on.")
            except LeaseLostError:
                self._lease.lose()
                self._open, pause = False, 0.0
            except (StoreError, psycopg.Error) as error:
                failures += 1
                pause = min(_LONGEST_BACKOFF, 0.2 * 2 ** min(failures, 6))
                self._away(error)
            self._stop_asked.wait(pause)
        self._leave()

    def _turn(self) -> float:
        connection = self._session()
        if not self._lease.held(connection):
            self._open = False
            return _STANDBY
        if not self._open:
            self._feed.open(connection)
            self._open = True
        self._reload()
        rows = self._feed.read(connection, _BATCH)
        if rows:
            with connection.transaction():
                self._engine.take(connection, rows)
                subscriptions.queue(connection, subscriptions.read_all(connection), rows)
                self._feed.mark(connection, rows[-1])
        if self._due("rest", _REST_EVERY):
            connection.execute(query("rest_alerts"))
        self._tell(connection)
        return 0.0 if len(rows) == _BATCH else _IDLE

    def _tell(self, connection: Connection[Any]) -> None:
        if time.monotonic() < self._timers.get("alertmanager", 0.0):
            return
        try:
            self._alertmanager.tell(connection)
            self._notices.over("alertmanager", "Alertmanager takes alerts again.")
        except AlertmanagerError as error:
            self._timers["alertmanager"] = time.monotonic() + _LONGEST_BACKOFF
            self._notices.say("alertmanager", str(error))

    def _reload(self) -> None:
        """Take new rules when the file changes; keep the old ones while the new ones are wrong."""
        if not self._due("reload", _RELOAD_EVERY) or (modified := self._modified()) == self._read_at:
            return
        self._read_at = modified
        try:
            self._engine.rules = load_rules(self._settings.rules)
        except RulesError as error:
            LOG.error("%s. The rules from before hold on.", error)  # noqa: TRY400
        else:
            LOG.info("Read %d rules anew.", len(self._engine.rules.rule))

    def _modified(self) -> int:
        try:
            return self._settings.rules.stat().st_mtime_ns if self._settings.rules else 0
        except OSError:
            return -1

    def _due(self, name: str, every: float) -> bool:
        now = time.monotonic()
        if now < self._timers.get(name, 0.0):
            return False
        self._timers[name] = now + every
        return True

    def _session(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            require_current(self._url)
            self._connection = connect(self._url, application="stumble-alerts")
        return self._connection

    def _away(self, error: Exception) -> None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        self._notices.say("trouble", f"{lines[0]} Alerting waits, nothing is lost.")
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._open = False
        self._lease.lose()

    def _leave(self) -> None:
        self._alertmanager.close()
        if self._connection is None or self._connection.closed:
            return
        try:
            if self._open:
                self._lease.leave(self._connection)
            self._connection.close()
        except psycopg.Error:
            LOG.warning("The store is away: the lease of alerting ends by itself.")
