"""What each emitter tells: a seeded stream, the same for who emits it and for who judges afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stumble.simulator import Disturbance, Stream, StreamSettings
from stumble.simulator.mix import Mix
from stumble.simulator.truth import Truth

MICROS = 1_000_000


@dataclass(frozen=True)
class Shift:
    """From one time of the stream to another (seconds) the emitter's clock is wrong by so many seconds."""

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
        found = json.loads(path.read_text())
        return cls(**found | {"shifts": tuple(Shift(**one) for one in found["shifts"])})


class Told(NamedTuple):
    """One event when it is to be emitted (seconds after the begin), and the truths that are complete with it."""

    at: float
    event: dict[str, Any]
    truths: tuple[Truth, ...]


def tell(plan: Plan) -> Iterator[Told]:
    """Yield the stream of a plan: always the same."""
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
    shifted: dict[str, dict[str, Any]] = {}  # an event that comes twice is the same event
    for item in Stream(settings):
        at = (item.at_us - plan.start_us) / MICROS
        by = _error(plan, at)
        known = shifted.get(item.event["event_id"])
        event = known or (_shifted(item.event, int(by * MICROS)) if by else item.event)
        if plan.shifts:
            shifted[item.event["event_id"]] = event
        yield Told(at, event, item.truths)


def _shifted(event: dict[str, Any], by_us: int) -> dict[str, Any]:
    """Return the event as a clock that is wrong would have told it: times, and the time in its id."""
    moved = uuid.UUID(event["event_id"]).int + (by_us // 1000 << 80)
    return {
        **event,
        "event_id": str(uuid.UUID(int=moved)),
        "occurred_at": event["occurred_at"] + by_us,
        "emitted_at": event["emitted_at"] + by_us,
    }


def _error(plan: Plan, at: float) -> float:
    return next((shift.by for shift in plan.shifts if shift.begin <= at < shift.end), 0.0)


def clock_jumped(plan: Plan) -> set[str]:
    """Return the ids of requests in the middle of which the clock was set.

    Which state came before a failure and which after is told by times alone, so their effect can be told wrong;
    outcome and failures can't.
    """
    errors: dict[str, set[float]] = {}
    for told in tell(plan):
        errors.setdefault(told.event["request_id"], set()).add(_error(plan, told.at))
    return {request_id for request_id, found in errors.items() if len(found) > 1}


def truths(plan: Plan) -> list[dict[str, Any]]:
    """Return what really became of every request of a plan."""
    return [json.loads(truth.line()) for told in tell(plan) for truth in told.truths]
