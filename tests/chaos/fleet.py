"""The stream of each emitter: it follows from a seed, so the emitter and the auditor compute the same stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stumble.ingest.record_times import FUTURE_US, PAST_US
from stumble.simulator import Disturbance, Stream, StreamSettings
from stumble.simulator.mix import Mix
from stumble.simulator.truth import Truth

MICROS = 1_000_000


@dataclass(frozen=True)
class Shift:
    """Between two times of the stream (seconds) the emitter's clock is wrong by ``by`` seconds."""

    begin: float
    end: float
    by: float


@dataclass(frozen=True)
class Plan:
    """One emitter's stream. ``seconds``: no request starts later; ``start_us``: UTC microseconds of its begin."""

    seed: int
    start_us: int
    seconds: float
    requests_per_second: float
    shifts: tuple[Shift, ...] = ()
    instances: int = 60
    failures: float = 0.4

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Plan:
        fields = json.loads(path.read_text())
        return cls(**fields | {"shifts": tuple(Shift(**one) for one in fields["shifts"])})


class PlannedEvent(NamedTuple):
    """One event with its time of emission (seconds after the begin), and the truths that are complete with it."""

    at: float
    event: dict[str, Any]
    truths: tuple[Truth, ...]


def planned_events(plan: Plan) -> Iterator[PlannedEvent]:
    """Yield the stream of a plan; it is the same for each call."""
    settings = StreamSettings(
        seed=plan.seed,
        start_us=plan.start_us,
        instances=plan.instances,
        rate=plan.requests_per_second * Mix(plan.failures, {}).mean_events(),
        failures=plan.failures,
        seconds=plan.seconds,
        pace=0.4,
        disturbance=Disturbance(duplicates=0.05, disorder=0.05),
    )
    shifted: dict[str, dict[str, Any]] = {}  # an event that is emitted twice is the same event
    for item in Stream(settings):
        at = (item.at_us - plan.start_us) / MICROS
        by = _clock_error(plan, at)
        known = shifted.get(item.event["event_id"])
        event = known or (_shifted(item.event, int(by * MICROS)) if by else item.event)
        if plan.shifts:
            shifted[item.event["event_id"]] = event
        yield PlannedEvent(at, event, item.truths)


def _shifted(event: dict[str, Any], by_us: int) -> dict[str, Any]:
    """Return the event with the times of a wrong clock, also in its id."""
    moved = uuid.UUID(event["event_id"]).int + (by_us // 1000 << 80)
    return {
        **event,
        "event_id": str(uuid.UUID(int=moved)),
        "occurred_at": event["occurred_at"] + by_us,
        "emitted_at": event["emitted_at"] + by_us,
    }


def _clock_error(plan: Plan, at: float) -> float:
    return next((shift.by for shift in plan.shifts if shift.begin <= at < shift.end), 0.0)


def with_uncertain_effect(plan: Plan) -> set[str]:
    """Return the ids of requests during which the clock was changed, or was wrong by more than the store accepts.

    Only times show which state was before a failure and which after it, so the effect can be wrong; outcome and
    failures can't. Where the store replaces implausible times, events that were emitted late have the time of their
    arrival.
    """
    errors: dict[str, set[float]] = {}
    for planned in planned_events(plan):
        errors.setdefault(planned.event["request_id"], set()).add(_clock_error(plan, planned.at))
    return {
        request_id
        for request_id, seconds in errors.items()
        if len(seconds) > 1 or any(not -PAST_US <= one * MICROS <= FUTURE_US for one in seconds)
    }


def truths(plan: Plan) -> list[dict[str, Any]]:
    """Return the truth of every request of a plan."""
    return [json.loads(truth.line()) for planned in planned_events(plan) for truth in planned.truths]
