"""Posts alerts to every replica of Alertmanager (API v2): firing ones repeatedly, resolved ones for five minutes.

Sources: Alertmanager api/v2/openapi.yaml and docs/alerts_api.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from stumble.alerts.rules import RuleBook, RuleMatch
from stumble.alerts.state import AlertState, annotations_of, extent_of, labels_of, link_of
from stumble.metrics import definitions as d
from stumble.metrics.process import ProcessMetrics
from stumble.settings.urls import split_user
from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.settings import AlertSettings

_TIMEOUT_S = 5.0
#: Intervals after which Alertmanager ends an alert that is not posted again: with fewer it would flap.
_INTERVALS = 4


class AlertmanagerError(StumbleError):
    """No replica accepted the alerts: they stay due."""


class Alertmanager:
    """Posts due alerts to every replica."""

    def __init__(
        self, settings: AlertSettings, metrics: ProcessMetrics | None = None, client: httpx.Client | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics or ProcessMetrics("alerter")
        self._urls = [split_user(f"{url.rstrip('/')}/api/v2/alerts") for url in settings.alertmanagers]
        self._client = client or httpx.Client(timeout=_TIMEOUT_S)

    def post_due(self, connection: Connection[Any], rules: RuleBook) -> int:
        """Post due alerts and mark them; return their number. Raises ``AlertmanagerError`` if no replica accepts them.

        `rules` define which failures of a problem an alert counts: those that its rule matches.
        """
        if not self._urls:
            return 0
        settings = self._settings
        due = [
            AlertState(*row)
            for row in connection.execute(
                query("load_alerts_to_post"),
                {"calm": settings.calm_seconds, "resend": settings.resend_seconds},
            )
        ]
        if not due:
            return 0
        at = datetime.now(UTC)
        self._post([self._alert(connection, state, at, rules.match_of(state.rule)) for state in due])
        posted = {"rules": [state.rule for state in due], "problems": [state.problem for state in due]}
        connection.execute(query("mark_alerts_posted"), {"at": at, **posted})
        return len(due)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        errors: list[str] = []
        for url, user in self._urls:
            try:
                answer = self._client.post(url, json=alerts, auth=user or httpx.USE_CLIENT_DEFAULT)
                failed = f"{answer.status_code} {answer.text[:200].strip()}" if answer.is_error else None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failed = str(error)
            self._metrics.counter(d.ALERTMANAGER_POSTS).labels("failed" if failed else "accepted").inc()
            if failed:
                errors.append(f"{url}: {failed}")
        if len(errors) == len(self._urls):
            raise AlertmanagerError(
                f"Alertmanager does not accept alerts ({'; '.join(errors)}); they are posted again."
            )

    def _alert(self, connection: Connection[Any], state: AlertState, at: datetime, match: RuleMatch) -> dict[str, Any]:
        extent = extent_of(connection, state, match)
        ends_at = state.ends_at or at + timedelta(seconds=self._settings.resend_seconds * _INTERVALS)
        return {
            "labels": labels_of(state),
            "annotations": annotations_of(state, extent, self._settings.public_url),
            "startsAt": state.starts_at.isoformat(),
            "endsAt": ends_at.isoformat(),
            "generatorURL": link_of(state, self._settings.public_url),
        }
