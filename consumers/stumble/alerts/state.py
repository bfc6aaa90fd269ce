"""An alert as the store has it, and its presentation: labels, text, links, extent.

Labels are an alert's identity, so they are few and bounded; ids, counts and text are annotations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.rules import RuleMatch

#: Verbs for requests that reached an outcome: one request, several.
_OUTCOME_VERBS = {
    "recovered": ("failed at first and then worked",) * 2,
    "failed": ("failed",) * 2,
    "cancelled": ("was cancelled", "were cancelled"),
    "stalled": ("has stalled", "have stalled"),
}


def problem_of(payload: Mapping[str, Any]) -> str:
    """Return the problem of an alert about requests, ``stalled:resize``; it is never a failure's fingerprint."""
    return f"{str(payload['outcome']).lower()}:{payload.get('action') or 'other'}"


class AlertState(NamedTuple):
    """One alert as the store has it."""

    rule: str
    problem: str
    state: str
    severity: str
    description: str
    labels: dict[str, str]
    last_payload: dict[str, Any]
    first_occurred_at: datetime
    starts_at: datetime
    ends_at: datetime | None
    failures: int


class AlertExtent(NamedTuple):
    """The extent of a problem since an alert began; `examples` are request id and instance of the newest failures."""

    failures: int
    instances: int
    projects: int
    hosts: int
    examples: Sequence[tuple[str, str]]


def extent_of(connection: Connection[Any], state: AlertState, match: RuleMatch) -> AlertExtent:
    """Count the failures of a problem that a rule matches, since the alert's first one."""
    if _outcome_verbs(state):
        example = (str(state.last_payload.get("request_id") or ""), str(state.last_payload.get("instance_uuid") or ""))
        return AlertExtent(state.failures, state.failures, 0, 0, [example])
    row = connection.execute(
        query("count_problem_extent"), {"fingerprint": state.problem, "since": state.first_occurred_at, **match.likes()}
    ).fetchone()
    assert row is not None, "an aggregate gives a row"
    return AlertExtent(row[0], row[1], row[2], row[3], [(item[0], item[1]) for item in row[4] or ()])


def labels_of(state: AlertState) -> dict[str, str]:
    """Return an alert's identity: bounded values only."""
    parts, last = re.split(r"[-_]", state.rule), state.last_payload
    name = "Stumble" + "".join(part[:1].upper() + part[1:] for part in parts)
    own = {
        "alertname": name,
        "rule": state.rule,
        "problem": state.problem,
        "severity": state.severity,
        **{key: str(last[key]) for key in ("action", "exception", "blame") if last.get(key)},
    }
    return {**state.labels, **own}


def annotations_of(state: AlertState, extent: AlertExtent, public_url: str) -> dict[str, str]:
    """Return an alert's annotations: summary, reason, counts, start, three examples, links; never details."""
    last, action = state.last_payload, state.last_payload.get("action") or "an action"
    if verbs := _outcome_verbs(state):
        summary = f"{counted(extent.failures, f'{action} request')} {verbs[extent.failures != 1]}"
    else:
        summary = (
            f"{action}: {last.get('exception')}: {counted(extent.failures, 'failure')} "
            f"on {counted(extent.instances, 'server')} of {counted(extent.projects, 'project')}"
        )
    resolved = f", resolved at {state.ends_at:%Y-%m-%d %H:%M:%S} UTC" if state.ends_at else ""
    return {
        "summary": f"{summary} since {state.first_occurred_at:%Y-%m-%d %H:%M:%S} UTC{resolved}",
        "description": state.description,
        "reason": str(last.get("evidence") or last.get("reason") or last.get("exception") or ""),
        "failures": str(extent.failures),
        "servers": str(extent.instances),
        "projects": str(extent.projects),
        "hosts": str(extent.hosts),
        "since": state.first_occurred_at.isoformat(),
        "examples": ", ".join(f"{request} (server {instance})" for request, instance in extent.examples),
        "example_urls": " ".join(f"{public_url.rstrip('/')}/requests/{request}" for request, _ in extent.examples),
    }


def _outcome_verbs(state: AlertState) -> tuple[str, ...]:
    """Return the verbs for requests; empty for an alert about failures."""
    return _OUTCOME_VERBS.get(state.problem.partition(":")[0], ())


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def link_of(state: AlertState, public_url: str) -> str:
    """Return the URL of the page that lists the problem's failures."""
    wanted = {name: state.last_payload[name] for name in ("action", "exception") if state.last_payload.get(name)}
    return f"{public_url.rstrip('/')}/?{urlencode(wanted)}"
