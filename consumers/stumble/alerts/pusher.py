"""Evaluates alert rules in a thread with a lease, a cursor and a connection of its own.

A slow or unavailable receiver delays neither the topics nor the other receivers.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from stumble.alerts import subscriptions
from stumble.alerts.alert_messages import AlertMessages
from stumble.alerts.engine import RuleEngine
from stumble.alerts.lease import SECONDS
from stumble.alerts.lease_worker import LeaseWorker
from stumble.alerts.publications import PublicationCursor
from stumble.alerts.receivers.alertmanager import Alertmanager, AlertmanagerError
from stumble.alerts.rules import RulesError, load_rules
from stumble.metrics import definitions as d
from stumble.runtime.timers import Timers
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.settings import AlertSettings
    from stumble.metrics.process import ProcessMetrics

_BATCH = 1000
_IDLE = 0.05
_RESOLVE_EVERY = 1.0
_RELOAD_EVERY = 2.0
_RETRY_AFTER = 5.0


class Pusher(LeaseWorker):
    """Applies the rules, posts alerts to Alertmanager and queues messages to subscribers until `stopping` is set.

    The constructor raises ``RulesError``.
    """

    def __init__(
        self,
        url: str,
        settings: AlertSettings,
        metrics: ProcessMetrics,
        stopping: threading.Event,
        lease_seconds: float = SECONDS,
    ) -> None:
        super().__init__("alerts", url, stopping, lease_seconds)
        self._settings = settings
        self._engine = RuleEngine(load_rules(settings.rules))
        self._read_at = self._modified()
        self._messages = AlertMessages(settings.public_url)
        self._cursor = PublicationCursor(self.lease)
        self._metrics = metrics
        self._metrics.gauge(d.RULES_VALID).set(1)
        self._alertmanager = Alertmanager(settings, self._metrics)
        self._timers = Timers()

    def begin(self, connection: Connection[Any]) -> None:
        """Continue at the cursor of the lease's last holder."""
        self._cursor.open(connection)

    def work(self, connection: Connection[Any]) -> float:
        """Apply the rules to one batch, resolve quiet alerts, post due ones."""
        self._reload()
        rows = self._cursor.read(connection, _BATCH)
        if rows:
            with connection.transaction():
                begun = self._engine.apply_rules(connection, rows)
                subscribers = subscriptions.read_all(connection)
                subscriptions.queue(connection, subscribers, rows)
                self._messages.begun(connection, subscribers, begun, self._engine.rules)
                self._cursor.mark(connection, rows[-1])
        if self._timers.due("resolve", _RESOLVE_EVERY):
            with connection.transaction():
                if resolved := self._engine.resolve_quiet(connection):
                    self._messages.over(connection, resolved, self._engine.rules)
            self._report_firing(dict(connection.execute(query("count_alerts")).fetchall()))
        self._post_alerts(connection)
        return 0.0 if len(rows) == _BATCH else _IDLE

    def stand_by(self) -> None:
        """Report no firing alerts: another alerter reports them."""
        self._report_firing({})

    def _report_firing(self, firing: dict[str, int]) -> None:
        for severity in d.ALERTS_FIRING.values:
            self._metrics.gauge(d.ALERTS_FIRING).labels(severity).set(firing.get(severity, 0))

    def close(self) -> None:
        """Close the connections to Alertmanager and to the store."""
        self._alertmanager.close()
        super().close()

    def _post_alerts(self, connection: Connection[Any]) -> None:
        if not self._timers.past("alertmanager"):
            return
        try:
            self._alertmanager.post_due(connection, self._engine.rules)
            self.state_log.over("alertmanager", "Alertmanager accepts alerts again.")
        except AlertmanagerError as error:
            self._timers.put_off("alertmanager", _RETRY_AFTER)
            self.state_log.say("alertmanager", str(error))

    def _reload(self) -> None:
        """Load the rules again when the file changes; the old ones stay in force while the new ones are invalid."""
        if not self._timers.due("reload", _RELOAD_EVERY) or (modified := self._modified()) == self._read_at:
            return
        self._read_at = modified
        try:
            self._engine.rules = load_rules(self._settings.rules)
        except RulesError as error:
            self._metrics.gauge(d.RULES_VALID).set(0)
            text = "; ".join(error.mistakes)
            self.log.error("%s: %s. The rules read before stay in force.", self._settings.rules, text)  # noqa: TRY400
        else:
            self._metrics.gauge(d.RULES_VALID).set(1)
            self.log.info("Read %d rules again.", len(self._engine.rules.rule))

    def _modified(self) -> int:
        try:
            return self._settings.rules.stat().st_mtime_ns if self._settings.rules else 0
        except OSError:
            return -1
