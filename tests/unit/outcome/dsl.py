"""Events in one line each, as each of the three ways of ingestion reports them.

``T h1 event_finish compute_stop_instance !InstancePowerOffFailure active/-``

* ways: T tap, V versioned notification, L legacy notification; each gives an event of its own
* host: ``api``, ``con``, ``sch`` are the services of those names, any other host is a compute
* signal, with ``.start`` ``.end`` ``.error`` as phase; a signal with an implied phase needs none
* ``!Class`` or ``!Class>Cause>Cause``: a failure with its chain
* ``vm_state/task_state`` (``-`` is none), ``@req-x`` another request id, ``sys`` no user, ``key=value`` fields
* any other token: the step, or the action of an ``action_start``
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any

from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import NO_EXTRA, Fact, FactExtra, fact_of
from stumble.outcome.records import RequestRecord
from stumble.translate.exceptions import parse_exception
from stumble.translate.failure import build_failure
from stumble.wire.ids import derived_event_id
from stumble.wire.schemas import EVENT

INSTANCE = "11111111-2222-4333-8444-555555555555"
T0 = 1_790_000_000_000_000
_SECOND = 1_000_000

_SERVICES = {"api": "nova-api", "con": "nova-conductor", "sch": "nova-scheduler"}
_PHASES = {"start": "START", "end": "END", "error": "ERROR", "progress": "PROGRESS"}
_IMPLIED_PHASES = {
    "action_start": "START",
    "action_finish": "END",
    "event_start": "START",
    "event_finish": "END",
    "fault": "ERROR",
    "exception": "ERROR",
}
_KINDS = {"T": "TAP", "V": "VERSIONED", "L": "LEGACY"}

WAYS = {"tap": "TL", "tap+versioned": "TV", "tap+both": "TVL", "versioned": "V", "legacy": "L", "both": "VL"}


@functools.cache
def _defaults() -> str:
    record = json.loads(EVENT.json)
    return json.dumps({field["name"]: field["default"] for field in record["fields"]})


@functools.cache
def _snapshot() -> str:
    record = json.loads(EVENT.json)
    union = next(field["type"] for field in record["fields"] if field["name"] == "instance")
    return json.dumps({field["name"]: field["default"] for field in union[1]["fields"]})


def blank() -> dict[str, Any]:
    return json.loads(_defaults())


def _failure(text: str) -> dict[str, Any]:
    raised, *causes = [parse_exception(name, f"{name} on this host", "nova.exception") for name in text.split(">")]
    return build_failure(raised, traceback="Traceback", causes=causes).record


def with_claimed_time(fact: Fact, claimed: str) -> Fact:
    """Return a fact whose time was replaced, since the event claims an implausible one."""
    return fact._replace(extra=(fact.extra or FactExtra._make(NO_EXTRA))._replace(claimed_at=claimed))


def _event(tokens: list[str], way: str, at: int, number: int) -> dict[str, Any]:
    event = blank()
    host, signal, *rest = tokens
    name, _, phase = signal.rpartition(".")
    if phase in _PHASES:
        signal = name
    else:
        phase = ""
    event.update(
        event_id=derived_event_id(at, host, f"{number}{way}", 0),
        occurred_at=at,
        emitted_at=at,
        instance_uuid=INSTANCE,
        request_id="req-1",
        owner_project_id=None if way == "T" else "owner",
        initiator_user_id="user",
        initiator_project_id="project",
        host=host,
        service=_SERVICES.get(host, "nova-compute"),
        phase=_PHASES.get(phase) or _IMPLIED_PHASES.get(signal, "PROGRESS"),
    )
    event["source"].update(kind=_KINDS[way], signal=signal, event_type=signal)
    for token in rest:
        _apply_token(event, token)
    if event["failure"] is not None:
        event["phase"] = "ERROR"
    return event


def _apply_token(event: dict[str, Any], token: str) -> None:
    if token.startswith("!"):
        event["failure"] = _failure(token[1:])
        if token[1:].split(">", maxsplit=1)[0].endswith("_Remote"):
            event["attributes"] = {"remote": "true"}
    elif token.startswith("@"):
        event["request_id"] = token[1:]
    elif token == "sys":
        event["initiator_user_id"] = event["initiator_project_id"] = None
    elif "=" in token:
        key, _, value = token.partition("=")
        event[key] = value or None
        if key == "migration_status" and event["source"]["signal"] == "migration":
            event["phase"] = {"error": "ERROR", "failed": "ERROR", "completed": "END", "cancelled": "END"}.get(
                value, "PROGRESS"
            )
    elif "/" in token:
        vm_state, task_state = (None if part == "-" else part for part in token.split("/"))
        event["instance"] = json.loads(_snapshot()) | {
            "vm_state": vm_state,
            "task_state": task_state,
            "display_name": "server",
        }
    elif (event["source"]["signal"] or "").startswith("action_"):
        event["action"] = token
    else:
        event["step"] = token


def events(script: str, ways: str = "TVL") -> list[dict[str, Any]]:
    """Return the events of a script's lines for the given ways; each line is a second later than the one before."""
    script_events = []
    lines = [line.split() for line in script.strip().splitlines() if line.strip()]
    for number, (line_ways, *tokens) in enumerate(lines):
        at = T0 + number * _SECOND
        if tokens[0].startswith("+"):
            at += int(tokens.pop(0)) * _SECOND
        script_events += [_event(tokens, way, at + n, number) for n, way in enumerate(line_ways) if way in ways]
    return script_events


def facts(script: str, ways: str = "TVL") -> list[Fact]:
    return [fact_of(event) for event in events(script, ways)]


def run(script: str, ways: str = "TVL") -> tuple[RequestRecord, ...]:
    return derive_requests(INSTANCE, facts(script, ways))


def summary(records: Iterable[RequestRecord]) -> dict[str, str]:
    """Return the main fields of records as text: ``{action: "OUTCOME host:Class(EFFECT) … verdict=Class"}``."""
    texts: dict[str, str] = {}
    for record in records:
        tokens = [record.outcome]
        tokens += [f"{one.host}:{one.exception or '?'}({one.effect})" for one in record.failures]
        if record.verdict:
            tokens.append(f"verdict={record.verdict}")
        name = record.action or "?"
        texts[name if name not in texts else f"{name}#{len(texts)}"] = " ".join(tokens)
    return texts
