"""A server's states and requests on one time axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stumble.api.models import Failure, Request, Step
from stumble.outcome.facts import Fact
from stumble.runtime.times import EPOCH, from_micros

_LONG_AGO = EPOCH


@dataclass(frozen=True, slots=True)
class StateChange:
    """The state of a server from this time on, as an event reported it."""

    at: datetime
    vm_state: str
    task_state: str | None


@dataclass(slots=True)
class TimelineRow:
    """One section of the axis: a request, and the states from its start to that of the next; both newest first."""

    at: datetime
    request: Request | None = None
    states: list[StateChange] = field(default_factory=list)


@dataclass(slots=True)
class TimelineLine:
    """One line of a request: one run of a step, and its failures."""

    at: datetime | None
    host: str | None
    step: str | None
    attempt: int | None
    result: str | None = None
    failures: list[Failure] = field(default_factory=list)


def state_changes(facts: Iterable[Fact]) -> list[StateChange]:
    """Return the states that a server's events report, in order of time, without repeats."""
    result: list[StateChange] = []
    for fact in sorted(facts, key=lambda fact: fact[:2]):
        at = from_micros(fact.at)
        if fact.state is None or fact.state[0] is None or at is None:
            continue
        now = StateChange(at, fact.state[0], fact.state[1])
        if not result or (result[-1].vm_state, result[-1].task_state) != (now.vm_state, now.task_state):
            result.append(now)
    return result


def timeline_rows(requests: Sequence[Request], states: Sequence[StateChange]) -> list[TimelineRow]:
    """Return states and requests on one axis, newest first; of the states before the oldest request, only the last."""
    rows = sorted((TimelineRow(_start(request), request) for request in requests), key=lambda row: row.at)
    before: list[StateChange] = []
    for state in sorted(states, key=lambda state: state.at):
        row = next((row for row in reversed(rows) if row.at <= state.at), None)
        (row.states if row else before).insert(0, state)
    if before:
        rows.insert(0, TimelineRow(before[0].at, states=before[:1]))
    return rows[::-1]


def timeline_of_request(request: Request) -> list[TimelineLine]:
    """Return the lines of a request in order of time: its steps and their failures, attempt by attempt."""
    lines = [_line(step) for step in request.steps]
    for failure in request.failures:
        run = (failure.step, failure.host, failure.attempt or 1)
        line = next((each for each in lines if (each.step, each.host, each.attempt or 1) == run), None)
        if line is None:
            line = TimelineLine(failure.occurred_at, failure.host, failure.step, failure.attempt)
            lines.append(line)
        line.failures.append(failure)
    return sorted(lines, key=lambda line: line.at or _LONG_AGO)


def _line(step: Step) -> TimelineLine:
    return TimelineLine(
        step.started_at or step.finished_at, step.host, step.step, step.attempt, step.result or "running"
    )


def _start(request: Request) -> datetime:
    return request.started_at or request.last_event_at or _LONG_AGO
