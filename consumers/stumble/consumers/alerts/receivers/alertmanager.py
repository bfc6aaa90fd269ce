"""Alertmanager's API v2: firing alerts told again and again, resolved ones for five minutes, to every replica.

Sources: Alertmanager api/v2/openapi.yaml and docs/alerts_api.md. Labels are an alert's identity, so they are few and
bounded; ids, counts and text are annotations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import httpx

from stumble.consumers.alerts.engine import STALLED
from stumble.consumers.alerts.rules import Match, RuleBook
from stumble.consumers.metrics import definitions as d
from stumble.consumers.metrics.process import ProcessMetrics
from stumble.consumers.store.queries import query
from stumble.schemas.models.urls import without_password
from stumble.schemas.wire.errors import StumbleError

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.consumers.alerts.settings import AlertSettings

_TIMEOUT_S = 5.0
#: An alert that is not told again ends by itself after so many intervals: fewer would let it flap.
_INTERVALS = 4


class AlertmanagerError(StumbleError):
    """No replica took the alerts: they stay due."""


class State(NamedTuple):
    """One alert as the store has it."""

    rule: str
    problem: str
    state: str
    severity: str
    text: str
    labels: dict[str, str]
    last: dict[str, Any]
    since: datetime
    starts_at: datetime
    ends_at: datetime | None
    failures: int


class Extent(NamedTuple):
    """How far a problem reaches since an alert began; `examples` are request id and instance of the newest."""

    failures: int
    instances: int
    projects: int
    hosts: int
    examples: Sequence[tuple[str, str]]


class Alertmanager:
    """Tells every replica what is due."""

    def __init__(
        self, settings: AlertSettings, metrics: ProcessMetrics | None = None, client: httpx.Client | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics or ProcessMetrics("alerter")
        self._urls = [f"{url.rstrip('/')}/api/v2/alerts" for url in settings.alertmanagers]
        self._client = client or httpx.Client(timeout=_TIMEOUT_S)

    def tell(self, connection: Connection[Any], rules: RuleBook) -> int:
        """Tell what is due and mark it; returns how many alerts. Raises ``AlertmanagerError`` when nobody took them.

        `rules` say which failures of a problem an alert counts: those that its rule matches.
        """
        if not self._urls:
            return 0
        settings = self._settings
        due = [
            State(*row)
            for row in connection.execute(
                query("alerts_to_post"),
                {"calm": settings.calm_seconds, "resend": settings.resend_seconds},
            )
        ]
        if not due:
            return 0
        at = datetime.now(UTC)
        matches = {rule.name: rule.match for rule in rules.rule}
        self._post([self._alert(connection, state, at, matches.get(state.rule, Match())) for state in due])
        told = {"rules": [state.rule for state in due], "problems": [state.problem for state in due]}
        connection.execute(query("mark_posted"), {"at": at, **told})
        return len(due)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, alerts: list[dict[str, Any]]) -> None:
        said: list[str] = []
        for url in self._urls:
            try:
                answer = self._client.post(url, json=alerts)
                failed = f"{answer.status_code} {answer.text[:200].strip()}" if answer.is_error else None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failed = str(error)
            self._metrics.counter(d.ALERTMANAGER_POSTS).labels("failed" if failed else "taken").inc()
            if failed:
                said.append(f"{without_password(url)}: {failed}")
        if len(said) == len(self._urls):
            raise AlertmanagerError(f"Alertmanager does not take alerts ({'; '.join(said)}); they are told again.")

    def _alert(self, connection: Connection[Any], state: State, at: datetime, match: Match) -> dict[str, Any]:
        extent = extent_of(connection, state, match)
        ends_at = state.ends_at or at + timedelta(seconds=self._settings.resend_seconds * _INTERVALS)
        return {
            "labels": labels_of(state),
            "annotations": annotations_of(state, extent, self._settings.public_url),
            "startsAt": state.starts_at.isoformat(),
            "endsAt": ends_at.isoformat(),
            "generatorURL": link_of(state, self._settings.public_url),
        }


def extent_of(connection: Connection[Any], state: State, match: Match) -> Extent:
    """Ask the failures how far what a rule matches of a problem reaches since the alert's first one."""
    if state.problem.startswith(STALLED):
        example = (str(state.last.get("request_id") or ""), str(state.last.get("instance_uuid") or ""))
        return Extent(state.failures, state.failures, 0, 0, [example])
    row = connection.execute(
        query("extent_of_problem"), {"fingerprint": state.problem, "since": state.since, **match.likes()}
    ).fetchone()
    assert row is not None, "an aggregate gives a row"
    return Extent(row[0], row[1], row[2], row[3], [(item[0], item[1]) for item in row[4] or ()])


def labels_of(state: State) -> dict[str, str]:
    """Return an alert's identity: bounded values only."""
    words = re.split(r"[-_]", state.rule)
    name = "Stumble" + "".join(word[:1].upper() + word[1:] for word in words)
    own = {
        "alertname": name,
        "rule": state.rule,
        "problem": state.problem,
        "severity": state.severity,
        **{key: str(state.last[key]) for key in ("action", "exception", "blame") if state.last.get(key)},
    }
    return {**state.labels, **own}


def annotations_of(state: State, extent: Extent, public_url: str) -> dict[str, str]:
    """Return an alert's text: what, how much, since when, three examples, links. Never details."""
    last, action = state.last, state.last.get("action") or "an action"
    if state.problem.startswith(STALLED):
        verb = "is" if extent.failures == 1 else "are"
        summary = f"{counted(extent.failures, f'{action} request')} {verb} not heard of"
    else:
        summary = (
            f"{action}: {last.get('exception')}: {counted(extent.failures, 'failure')} "
            f"on {counted(extent.instances, 'server')} of {counted(extent.projects, 'project')}"
        )
    over = f", over at {state.ends_at:%Y-%m-%d %H:%M:%S} UTC" if state.ends_at else ""
    return {
        "summary": f"{summary} since {state.since:%Y-%m-%d %H:%M:%S} UTC{over}",
        "description": state.text,
        "reason": str(last.get("evidence") or last.get("reason") or last.get("exception") or ""),
        "failures": str(extent.failures),
        "servers": str(extent.instances),
        "projects": str(extent.projects),
        "hosts": str(extent.hosts),
        "since": state.since.isoformat(),
        "examples": ", ".join(f"{request} (server {instance})" for request, instance in extent.examples),
        "example_urls": " ".join(f"{public_url.rstrip('/')}/requests/{request}" for request, _ in extent.examples),
    }


def counted(number: int, thing: str) -> str:
    """Return a number of things as people write it."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def link_of(state: State, public_url: str) -> str:
    """Return where people see the problem."""
    wanted = {name: state.last[name] for name in ("action", "exception") if state.last.get(name)}
    return f"{public_url.rstrip('/')}/?{urlencode(wanted)}"
