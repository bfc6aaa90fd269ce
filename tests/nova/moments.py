"""When an outcome is decided: after which signal, how long until it can be read, and the outcomes before it.

`python -m tests.nova.moments EVIDENCE` prints the table of a run with saved evidence.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import Fact, fact_of
from tests.nova import offline

Event = dict[str, Any]

OPEN = ("IN_PROGRESS", "STALLED")


@dataclass(frozen=True)
class OutcomeHistory:
    """The outcomes of one request after each of its events, in the order in which they were emitted."""

    request_key: str
    instance_uuid: str
    request_id: str | None
    action: str | None
    changes: tuple[tuple[str | None, Event], ...]
    """(outcome, the event that led to it), for each change; None: the request was withdrawn."""

    @property
    def outcome(self) -> str | None:
        """The last outcome."""
        return self.changes[-1][0]

    @property
    def decided_by(self) -> Event:
        """The event that led to the last outcome."""
        return self.changes[-1][1]

    @property
    def final(self) -> tuple[str | None, ...]:
        """The final outcomes, one after another."""
        return tuple(outcome for outcome, _ in self.changes if outcome not in OPEN)


def outcome_histories(events: Iterable[Event]) -> list[OutcomeHistory]:
    """Derive from every prefix of an instance's events; events without an instance are ignored."""
    by_instance: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["instance_uuid"]:
            by_instance[event["instance_uuid"]].append(event)
    return [history for instance, known in by_instance.items() for history in _of_instance(instance, known)]


def _of_instance(instance: str, events: list[Event]) -> list[OutcomeHistory]:
    changes_by_request: dict[str, list[tuple[str | None, Event]]] = {}
    identity: dict[str, tuple[str | None, str | None]] = {}
    known: list[Fact] = []
    for event in events:
        known.append(fact_of(event))
        now = {record.request_key: record for record in derive_requests(instance, known)}
        for key, record in now.items():
            identity[key] = record.request_id, record.action
        for key in now.keys() | changes_by_request.keys():
            outcome = now[key].outcome if key in now else None
            before = changes_by_request.setdefault(key, [])
            if not before or before[-1][0] != outcome:
                before.append((outcome, event))
    return [
        OutcomeHistory(key, instance, *identity[key], tuple(outcome_changes))
        for key, outcome_changes in changes_by_request.items()
    ]


def of_scenario(histories: Iterable[OutcomeHistory], result: Mapping[str, Any]) -> list[OutcomeHistory]:
    """Return those of a request id's histories that belong to a scenario; a periodic task may work on other servers."""
    return [one for one in histories if not result.get("alone") or one.instance_uuid == result["server"]]


def readable_at(first_read: Iterable[Mapping[str, Any]]) -> dict[str, tuple[tuple[str | None, ...], int]]:
    """Return per request the readable outcomes, one after another, and when (µs) the last one was first readable."""
    readable: dict[str, tuple[tuple[str | None, ...], int]] = {}
    for one in sorted(first_read, key=lambda row: (row["request_key"], row["revision"])):
        outcome = one["outcome"] if one["status"] == "CURRENT" else None
        before, at = readable.get(one["request_key"], ((), 0))
        if not before or before[-1] != outcome:
            readable[one["request_key"]] = (*before, outcome), one["at"]
        else:
            readable[one["request_key"]] = before, at
    return readable


@dataclass(frozen=True)
class Moment:
    """When one request of a scenario was decided."""

    scenario: str
    action: str | None
    outcome: str | None
    signal: str
    latency_ms: float | None
    """None where no signal decides it."""


def moments(evidence: Path, results: Iterable[Mapping[str, Any]]) -> list[Moment]:
    """Return the moments of the scenarios' own requests, in the table's order."""
    readable = readable_at(json.loads((evidence / "seen.json").read_text()))
    by_request = defaultdict(list)
    for history in outcome_histories(offline.events_of(evidence / "outbox")):
        by_request[history.request_id].append(history)
    return [
        Moment(
            result["scenario"],
            history.action,
            history.outcome,
            signal_of(history.decided_by),
            _latency_ms(history, readable),
        )
        for result in results
        for history in of_scenario(by_request.get(result.get("request_id"), ()), result)
        if history.outcome is not None
    ]


def _latency_ms(history: OutcomeHistory, readable: Mapping[str, tuple[tuple[str | None, ...], int]]) -> float | None:
    if history.outcome in OPEN:
        return None
    return float(readable[history.request_key][1] - history.decided_by["emitted_at"]) / 1000


def signal_of(event: Event) -> str:
    """Return a signal's name: `instance.power_off.end`, or a call that the tap observed."""
    if event["source"]["kind"] == "TAP":
        call = {"event_finish": "step", "event_start": "step"}.get(event["source"]["signal"], event["source"]["signal"])
        return f"{call} {event['step'] or event['migration_status'] or ''} {event['phase'].lower()}".replace("  ", " ")
    return str(event["source"]["event_type"])


def table(decided: Iterable[Moment]) -> str:
    """Return a Markdown table, and the figures above it."""
    rows = list(decided)
    times = sorted(row.latency_ms for row in rows if row.latency_ms is not None)
    figures = (
        f"{len(rows)} requests of {len({row.scenario for row in rows})} scenarios: median"
        f" {statistics.median(times):.0f} ms, 95 % within {times[int(len(times) * 0.95)]:.0f} ms,"
        f" the slowest {times[-1]:.0f} ms."
    )
    lines = [
        figures,
        "",
        "| scenario | outcome | decided by | readable after |",
        "|---|---|---|---|",
    ]
    lines += [f"| {row.scenario} | `{row.action}` {row.outcome} | {_decided(row)} |" for row in rows]
    return "\n".join(lines)


def _decided(row: Moment) -> str:
    return "no signal of Nova | -" if row.latency_ms is None else f"`{row.signal}` | {row.latency_ms:.0f} ms"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(table(moments(folder, json.loads((folder / "results.json").read_text()))))
