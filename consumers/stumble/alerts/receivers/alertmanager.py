"""Posts alerts to every replica of Alertmanager (API v2): firing ones repeatedly, resolved ones for five minutes.

Sources: Alertmanager api/v2/openapi.yaml and docs/alerts_api.md.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import TYPE_CHECKING, Any

import httpx

from stumble.alerts.rules import RuleBook, RuleMatch
from stumble.alerts.state import AlertState, annotations_of, extent_of, labels_of, link_of
from stumble.metrics import definitions as d
from stumble.metrics.process import ProcessMetrics
from stumble.runtime.http_client import HttpClient
from stumble.runtime.timers import Timers
from stumble.settings.urls import split_user
from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.settings import AlertSettings

#: Seconds for one post: connection, TLS, request and answer.
_SECONDS = 5.0
#: Seconds without posts to a replica that failed while another accepted.
_PAUSE_SECONDS = 30.0
_ANSWER_BYTES = 2000
#: Intervals after which Alertmanager ends an alert that is not posted again: with fewer it would flap.
_INTERVALS = 4


class AlertmanagerError(StumbleError):
    """No replica accepted the alerts: they stay due."""


class Alertmanager:
    """Posts due alerts to every replica."""

    def __init__(self, settings: AlertSettings, metrics: ProcessMetrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics or ProcessMetrics("alerter")
        addresses = (split_user(f"{url.rstrip('/')}/api/v2/alerts") for url in settings.alertmanagers)
        self._users = dict(addresses)  # by URL without user and password
        self._client = HttpClient(seconds=_SECONDS, max_bytes=_ANSWER_BYTES)
        self._pool = ThreadPoolExecutor(max(1, len(self._users)), thread_name_prefix="alertmanager")
        self._timers = Timers()

    def post_due(self, connection: Connection[Any], rules: RuleBook) -> int:
        """Post due alerts and mark them; return their number. Raises ``AlertmanagerError`` if no replica accepts them.

        `rules` define which failures of a problem an alert counts: those that its rule matches.
        """
        if not self._users:
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
        """End the threads and the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        """Post to all replicas at the same time, so that each is as late as the slowest, not as the sum of all."""
        urls = [url for url in self._users if self._timers.past(url)] or list(self._users)
        results = zip(urls, self._pool.map(self._try, urls, repeat(alerts)), strict=True)
        errors = {url: error for url, error in results if error is not None}
        self._metrics.counter(d.ALERTMANAGER_POSTS).labels("failed").inc(len(errors))
        self._metrics.counter(d.ALERTMANAGER_POSTS).labels("accepted").inc(len(urls) - len(errors))
        is_accepted = len(errors) < len(urls)
        for url in errors if is_accepted else self._users:
            self._timers.put_off(url, _PAUSE_SECONDS if is_accepted else 0)
        if not is_accepted:
            reasons = "; ".join(f"{url}: {error}" for url, error in errors.items())
            raise AlertmanagerError(f"Alertmanager does not accept alerts ({reasons}); they are posted again.")

    def _try(self, url: str, alerts: list[dict[str, Any]]) -> str | None:
        """Post to one replica; return why it failed, None if the replica accepted the alerts."""
        try:
            auth = self._users[url] or httpx.USE_CLIENT_DEFAULT
            answer = self._client.request("POST", url, whole=False, json=alerts, auth=auth)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return str(error) or type(error).__name__
        return None if answer.is_success else f"{answer.status_code} {answer.text[:200].strip()}"

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
