"""Explanations as JSON: one object for each server, then one about the events without a server and the input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from stumble.explain.event_spool import Event
from stumble.explain.explanation import InputSummary, ServerExplanation
from stumble.outcome.derive import DerivedRequest
from stumble.runtime.times import with_readable_times


def server_object(server: ServerExplanation, request: str | None = None) -> dict[str, Any]:
    """Return the explanation of a server; ``request``: only the requests with this id, and the events of these."""
    roles = server.roles()
    shown = [
        (number, one)
        for number, one in enumerate(server.requests, 1)
        if request is None or request in {one.record.request_id, one.record.global_request_id}
    ]
    chosen = {number for number, _ in shown}
    events = [
        {**event, "explanation": None if role is None else {"request": role.request, "role": role.role}}
        for event in server.events
        for role in (roles.get(event["event_id"]),)
        if request is None or (role is not None and role.request in chosen)
    ]
    made = {
        "kind": "server",
        "instance_uuid": server.instance_uuid,
        "events": events,
        "repeated_events": server.repeated,
        "requests": [_request(server, number, one) for number, one in shown],
    }
    result: dict[str, Any] = with_readable_times(made)
    return result


def input_object(summary: InputSummary, without_server: Iterable[Event]) -> dict[str, Any]:
    """Return what was read, and what belongs to no server."""
    made = {
        "kind": "input",
        "signals": dict(summary.signals),
        "events": summary.events,
        "events_without_server": list(without_server),
        "skipped": [
            {"reason": kind.reason, "name": kind.name, "count": number, "first": summary.first_skipped[kind]._asdict()}
            for kind, number in summary.skipped.most_common()
        ],
        "unreadable": {
            "count": summary.unreadable,
            "first": [{**position._asdict(), "problem": problem} for position, problem in summary.first_unreadable],
        },
    }
    result: dict[str, Any] = with_readable_times(made)
    return result


def _request(server: ServerExplanation, number: int, one: DerivedRequest) -> dict[str, Any]:
    case = one.case
    return {
        "number": number,
        "decided_by": {
            "rule": one.decided_by.name,
            "number": one.decided_by.number,
            "sentence": one.decided_by.value,
        },
        "success_markers": [fact.event_id for fact in case.successes],
        "failures": [
            {
                "exception": cluster.exception,
                "host": cluster.host,
                "attempt_id": cluster.attempt_id,
                "event_ids": [fact.event_id for fact in cluster.sightings],
            }
            for cluster in case.findings.clusters
        ],
        "verdict": case.findings.verdict,
        "cancellation": None if case.cancelled is None else case.cancelled.event_id,
        "cancelled_by_request": server.number_of_linked(case),
        "record": asdict(one.record),
    }
