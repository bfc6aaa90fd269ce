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
from stumble.wire.text import one_line

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.rules import RuleMatch

#: Longest message of an annotation: receivers such as chats show it whole.
_MESSAGE_CHARACTERS = 500
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
    """The extent of a problem since an alert began.

    `action_names` and `host_names`: at most ten of each. `examples`: request id and instance of the newest failures.
    `message`: that of the newest failure, for operators only, where its reason does not show it.
    """

    failures: int
    instances: int
    projects: int
    hosts: int
    action_names: Sequence[str]
    host_names: Sequence[str]
    examples: Sequence[tuple[str, str]]
    message: str | None = None


def extent_of(connection: Connection[Any], state: AlertState, match: RuleMatch) -> AlertExtent:
    """Count the failures of a problem that a rule matches, since the alert's first one."""
    if _outcome_verbs(state):
        last = {name: str(state.last_payload.get(name) or "") for name in ("request_id", "instance_uuid", "action")}
        example = (last["request_id"], last["instance_uuid"])
        message = _message_of_request(connection, *example, state.last_payload.get("reason"))
        return AlertExtent(state.failures, state.failures, 0, 0, [last["action"]], (), [example], message)
    row = connection.execute(
        query("count_problem_extent"), {"fingerprint": state.problem, "since": state.first_occurred_at, **match.likes()}
    ).fetchone()
    assert row is not None, "an aggregate gives a row"
    failures, instances, projects, hosts, actions, host_names, examples, message = row
    return AlertExtent(
        failures,
        instances,
        projects,
        hosts,
        actions or (),
        host_names or (),
        [(one[0], one[1]) for one in examples or ()],
        message,
    )


def _message_of_request(connection: Connection[Any], request: str, instance: str, reason: str | None) -> str | None:
    wanted = {"instance": instance or None, "request": request, "reason": reason}
    row = connection.execute(query("load_message_of_request"), wanted).fetchone()
    return row[0] if row else None


def labels_of(state: AlertState) -> dict[str, str]:
    """Return an alert's identity: bounded values only; blame differs within a problem only between releases."""
    parts, last = re.split(r"[-_]", state.rule), state.last_payload
    shared = ("action",) if _outcome_verbs(state) else ("exception", "blame")
    name = "Stumble" + "".join(part[:1].upper() + part[1:] for part in parts)
    own = {
        "alertname": name,
        "rule": state.rule,
        "problem": state.problem,
        "severity": state.severity,
        **{key: str(last[key]) for key in shared if last.get(key)},
    }
    return {**state.labels, **own}


def annotations_of(state: AlertState, extent: AlertExtent, public_url: str) -> dict[str, str]:
    """Return an alert's annotations: summary, reason, counts, names, start, three examples, links.

    Alerts are for operators, so they have the message that a reason withholds.
    """
    last, action = state.last_payload, state.last_payload.get("action") or "an action"
    if verbs := _outcome_verbs(state):
        summary = f"{counted(extent.failures, f'{action} request')} {verbs[extent.failures != 1]}"
    else:
        only = f"{extent.action_names[0]}: " if len(extent.action_names) == 1 else ""
        summary = (
            f"{only}{last.get('exception')}: {counted(extent.failures, 'failure')} "
            f"on {counted(extent.instances, 'server')} of {counted(extent.projects, 'project')}"
        )
    resolved = f", resolved at {state.ends_at:%Y-%m-%d %H:%M:%S} UTC" if state.ends_at else ""
    return {
        "summary": f"{summary} since {state.first_occurred_at:%Y-%m-%d %H:%M:%S} UTC{resolved}",
        "description": state.description,
        "reason": str(last.get("evidence") or last.get("reason") or last.get("exception") or ""),
        **({"message": one_line(extent.message, _MESSAGE_CHARACTERS)} if extent.message else {}),
        "failures": str(extent.failures),
        "servers": str(extent.instances),
        "projects": str(extent.projects),
        "hosts": str(extent.hosts),
        "host_names": ", ".join(extent.host_names),
        "actions": ", ".join(extent.action_names),
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
    """Return the URL of the page that lists the problem's failures, or those of the action that the requests have."""
    action = state.last_payload.get("action")
    wanted = ({"action": action} if action else {}) if _outcome_verbs(state) else {"problem": state.problem}
    return f"{public_url.rstrip('/')}/?{urlencode(wanted)}"
