"""Queues messages to subscribers when an alert fires and when it resolves, with the alert's state at that time.

Messages are stored in the transaction that changes the alert's state, so none is lost or duplicated. A subscriber that
got the message of a firing alert also gets the one when it resolves, with the labels it fired with, even if its rule
has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stumble.alerts.state import AlertState, annotations_of, extent_of, labels_of, link_of
from stumble.store.json_rows import as_json
from stumble.store.queries import query
from stumble.wire.ids import alert_event_id, alert_key

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.rules import RuleBook
    from stumble.alerts.subscriptions import Subscription

FIRING = "firing"
RESOLVED = "resolved"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AlertMessages:
    """Queues messages; `public_url` is the base URL of their links."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def begun(
        self,
        connection: Connection[Any],
        subscribers: Sequence[Subscription],
        alerts: Sequence[AlertState],
        rules: RuleBook,
    ) -> int:
        """Queue messages that alerts fire, in the caller's transaction; return their number."""
        rows: list[dict[str, Any]] = []
        for alert in alerts:
            wanted = [subscriber.id for subscriber in subscribers if subscriber.wants_alert(alert)]
            if wanted:
                content = self._content(connection, alert, rules, FIRING)
                rows += [_delivery(subscription, alert, FIRING, content) for subscription in wanted]
        return _add(connection, rows)

    def over(self, connection: Connection[Any], alerts: Sequence[AlertState], rules: RuleBook) -> int:
        """Queue messages that alerts are resolved, for those who got them firing; return their number."""
        receivers: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for subscription, message, content in connection.execute(
            query("load_alert_deliveries"), {"messages": [_message(alert, FIRING) for alert in alerts]}
        ):
            receivers[message].append((subscription, content))
        rows: list[dict[str, Any]] = []
        for alert in alerts:
            if receivers_of_alert := receivers.get(_message(alert, FIRING)):
                resolved = self._content(connection, alert, rules, RESOLVED)
                for subscription, content in receivers_of_alert:
                    same = {name: content[name] for name in ("labels", "severity")}
                    rows.append(_delivery(subscription, alert, RESOLVED, {**resolved, **same}))
        return _add(connection, rows)

    def _content(self, connection: Connection[Any], alert: AlertState, rules: RuleBook, status: str) -> dict[str, Any]:
        extent = extent_of(connection, alert, rules.match_of(alert.rule))
        return {
            "status": status,
            "rule": alert.rule,
            "problem": alert.problem,
            "severity": alert.severity,
            "labels": labels_of(alert),
            "annotations": annotations_of(alert, extent, self._public_url),
            "startsAt": alert.starts_at.isoformat(),
            "endsAt": alert.ends_at.isoformat() if alert.ends_at else None,
            "generatorURL": link_of(alert, self._public_url),
        }


def _message(alert: AlertState, status: str) -> str:
    return alert_event_id(alert.rule, alert.problem, (alert.starts_at - _EPOCH) // timedelta(microseconds=1), status)


def _delivery(subscription_id: str, alert: AlertState, status: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "subscription_id": subscription_id,
        "message_id": _message(alert, status),
        "request_key": alert_key(alert.rule, alert.problem),
        "alert": content,
    }


def _add(connection: Connection[Any], rows: list[dict[str, Any]]) -> int:
    if rows:
        connection.execute(query("add_deliveries"), {"rows": as_json(rows)})
    return len(rows)
