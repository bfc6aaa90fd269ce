"""When an outcome is decided: after which signal, how long until it can be read, and what was said before that.

`python -m tests.nova.moments EVIDENCE` prints the table of a run whose evidence was kept.
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

from stumble.outcome.derive import derive
from stumble.outcome.facts import Fact, fact_of
from tests.nova import offline

Event = dict[str, Any]

OPEN = ("IN_PROGRESS", "STALLED")
WENT_ON: dict[str, tuple[str, tuple[str, ...], str]] = {}
"""Scenario → (action, outcomes one after another, why Nova truly went on after the first)."""


@dataclass(frozen=True)
class Course:
    """What was said of one request while its events came in, one at a time, in the order in which they were emitted."""

    request_key: str
    instance_uuid: str
    request_id: str | None
    action: str | None
    said: tuple[tuple[str | None, Event], ...]
    """(outcome, the event after which it was said), each time it changed; None: the request was withdrawn."""

    @property
    def outcome(self) -> str | None:
        """What is said in the end."""
        return self.said[-1][0]

    @property
    def decided_by(self) -> Event:
        """The event after which the last outcome was said."""
        return self.said[-1][1]

    @property
    def final(self) -> tuple[str | None, ...]:
        """The outcomes that were said to be final, one after another."""
        return tuple(outcome for outcome, _ in self.said if outcome not in OPEN)


def courses(events: Iterable[Event]) -> list[Course]:
    """Derive from every prefix of an instance's events; events without an instance are not looked at."""
    by_instance: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event["instance_uuid"]:
            by_instance[event["instance_uuid"]].append(event)
    return [course for instance, found in by_instance.items() for course in _of_instance(instance, found)]


def _of_instance(instance: str, events: list[Event]) -> list[Course]:
    said: dict[str, list[tuple[str | None, Event]]] = {}
    about: dict[str, tuple[str | None, str | None]] = {}
    known: list[Fact] = []
    for event in events:
        known.append(fact_of(event))
        now = {record.request_key: record for record in derive(instance, known)}
        for key, record in now.items():
            about[key] = record.request_id, record.action
        for key in now.keys() | said.keys():
            outcome = now[key].outcome if key in now else None
            before = said.setdefault(key, [])
            if not before or before[-1][0] != outcome:
                before.append((outcome, event))
    return [Course(key, instance, *about[key], tuple(changes)) for key, changes in said.items()]


def of_scenario(found: Iterable[Course], result: Mapping[str, Any]) -> list[Course]:
    """Return those of a request id's courses that a scenario is about; what ran by itself may touch other servers."""
    return [one for one in found if not result.get("alone") or one.instance_uuid == result["server"]]


def readable_at(seen: Iterable[Mapping[str, Any]]) -> dict[str, tuple[tuple[str | None, ...], int]]:
    """Return per request the outcomes that could be read, one after another, and when (µs) the last one first could."""
    found: dict[str, tuple[tuple[str | None, ...], int]] = {}
    for one in sorted(seen, key=lambda row: (row["request_key"], row["revision"])):
        outcome = one["outcome"] if one["status"] == "CURRENT" else None
        before, at = found.get(one["request_key"], ((), 0))
        if not before or before[-1] != outcome:
            found[one["request_key"]] = (*before, outcome), one["at"]
        else:
            found[one["request_key"]] = before, at
    return found


@dataclass(frozen=True)
class Moment:
    """When one request of a scenario was decided."""

    scenario: str
    action: str | None
    outcome: str | None
    signal: str
    latency_ms: float | None
    """None where nothing decides it."""


def moments(evidence: Path, results: Iterable[Mapping[str, Any]]) -> list[Moment]:
    """Return the moments of the scenarios' own requests, in the table's order."""
    seen = readable_at(json.loads((evidence / "seen.json").read_text()))
    by_request = defaultdict(list)
    for course in courses(offline.events_of(evidence / "outbox")):
        by_request[course.request_id].append(course)
    return [
        Moment(
            result["scenario"],
            course.action,
            course.outcome,
            signal_of(course.decided_by),
            _latency_ms(course, seen),
        )
        for result in results
        for course in of_scenario(by_request.get(result.get("request_id"), ()), result)
        if course.outcome is not None
    ]


def _latency_ms(course: Course, seen: Mapping[str, tuple[tuple[str | None, ...], int]]) -> float | None:
    if course.outcome in OPEN:
        return None
    return float(seen[course.request_key][1] - course.decided_by["emitted_at"]) / 1000


def signal_of(event: Event) -> str:
    """Name a signal as people know it: `instance.power_off.end`, or a call that the tap saw."""
    if event["source"]["kind"] == "TAP":
        what = {"event_finish": "step", "event_start": "step"}.get(event["source"]["signal"], event["source"]["signal"])
        return f"{what} {event['step'] or event['migration_status'] or ''} {event['phase'].lower()}".replace("  ", " ")
    return str(event["source"]["event_type"])


def table(found: Iterable[Moment]) -> str:
    """Return a Markdown table, and the figures above it."""
    rows = list(found)
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
    return "nothing that Nova tells | -" if row.latency_ms is None else f"`{row.signal}` | {row.latency_ms:.0f} ms"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(table(moments(folder, json.loads((folder / "results.json").read_text()))))
