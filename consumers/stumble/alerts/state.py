"""An alert as the store has it, and what is told of it: labels, text, links, how far it reaches.

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

#: What is said of requests, one or more, that came to an outcome.
_CAME_TO = {
    "recovered": ("failed at first and then worked",) * 2,
    "failed": ("failed",) * 2,
    "cancelled": ("was cancelled", "were cancelled"),
    "stalled": ("is not heard of", "are not heard of"),
}


def problem_of(payload: Mapping[str, Any]) -> str:
    """Return what an alert about requests is about, ``stalled:resize``: no failure's fingerprint could name it."""
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
    """How far a problem reaches since an alert began; `examples` are request id and instance of the newest."""

    failures: int
    instances: int
    projects: int
    hosts: int
    examples: Sequence[tuple[str, str]]


def extent_of(connection: Connection[Any], state: AlertState, match: RuleMatch) -> AlertExtent:
    """Ask the failures how far what a rule matches of a problem reaches since the alert's first one."""
    if _came_to(state):
        example = (str(state.last_payload.get("request_id") or ""), str(state.last_payload.get("instance_uuid") or ""))
        return AlertExtent(state.failures, state.failures, 0, 0, [example])
    row = connection.execute(
        query("count_problem_extent"), {"fingerprint": state.problem, "since": state.first_occurred_at, **match.likes()}
    ).fetchone()
    assert row is not None, "an aggregate gives a row"
    return AlertExtent(row[0], row[1], row[2], row[3], [(item[0], item[1]) for item in row[4] or ()])


def labels_of(state: AlertState) -> dict[str, str]:
    """Return an alert's identity: bounded values only."""
    words, last = re.split(r"[-_]", state.rule), state.last_payload
    name = "Stumble" + "".join(word[:1].upper() + word[1:] for word in words)
    own = {
        "alertname": name,
        "rule": state.rule,
        "problem": state.problem,
        "severity": state.severity,
        **{key: str(last[key]) for key in ("action", "exception", "blame") if last.get(key)},
    }
    return {**state.labels, **own}


def annotations_of(state: AlertState, extent: AlertExtent, public_url: str) -> dict[str, str]:
    """Return an alert's text: what, how much, since when, three examples, links. Never details."""
    last, action = state.last_payload, state.last_payload.get("action") or "an action"
    if verbs := _came_to(state):
        summary = f"{counted(extent.failures, f'{action} request')} {verbs[extent.failures != 1]}"
    else:
        summary = (
            f"{action}: {last.get('exception')}: {counted(extent.failures, 'failure')} "
            f"on {counted(extent.instances, 'server')} of {counted(extent.projects, 'project')}"
        )
    over = f", over at {state.ends_at:%Y-%m-%d %H:%M:%S} UTC" if state.ends_at else ""
    return {
        "summary": f"{summary} since {state.first_occurred_at:%Y-%m-%d %H:%M:%S} UTC{over}",
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


def _came_to(state: AlertState) -> tuple[str, ...]:
    """Return the words for requests; empty for an alert about failures."""
    return _CAME_TO.get(state.problem.partition(":")[0], ())


def counted(number: int, thing: str) -> str:
    """Return a number of things as people write it."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def link_of(state: AlertState, public_url: str) -> str:
    """Return where people see the problem."""
    wanted = {name: state.last_payload[name] for name in ("action", "exception") if state.last_payload.get(name)}
    return f"{public_url.rstrip('/')}/?{urlencode(wanted)}"
