"""The runner: it writes the truth of accepted events, repeats refused events, and makes bad records."""

from __future__ import annotations

import io
import json
from threading import Event
from typing import Any

import pytest

from stumble.simulator import Runner, SimulatorError, Stream, StreamSettings
from stumble.simulator.clock import Pacer
from stumble.simulator.poison import bad_values
from stumble.wire.codec import Decoder
from stumble.wire.errors import WireError
from stumble.wire.schemas import EVENT


class Sink:
    def __init__(self, refuse: int = 0) -> None:
        self.events: list[dict[str, Any]] = []
        self.refuse = refuse

    def emit(self, event: dict[str, Any]) -> bool:
        if self.refuse:
            self.refuse -= 1
            return False
        self.events.append(event)
        return True


def stream(events: int = 200) -> Stream:
    return Stream(StreamSettings(instances=20, events=events, failures=0.5))


def test_truth_has_one_line_per_request() -> None:
    sink, truth = Sink(), io.StringIO()
    report = Runner(sink, truth=truth).run(stream())
    lines = [json.loads(line) for line in truth.getvalue().splitlines()]
    assert report.accepted == len(sink.events) >= 200
    assert sum(report.outcomes.values()) == len(lines)
    assert {"request_key", "instance_uuid", "request_id", "action", "outcome", "verdict", "effect", "failures"} <= set(
        lines[0]
    )


def test_events_are_the_same_at_any_speed() -> None:
    fast, paced = Sink(), Sink()
    Runner(fast).run(stream())
    pauses: list[float] = []
    Runner(paced, pacer=Pacer(StreamSettings().start_us, pauses.append, speed=1e6)).run(stream())
    assert fast.events == paced.events


def test_pacer_waits_until_due() -> None:
    pauses: list[float] = []
    Pacer(0, pauses.append).until(5_000_000)
    assert pauses == [pytest.approx(5, abs=0.5)]


def test_refused_event_is_sent_again() -> None:
    sink = Sink(refuse=2)
    report = Runner(sink).run(stream())
    assert report.refused == 2
    assert report.accepted == len(sink.events)


def test_sink_that_refuses_everything_ends_the_run_with_one_sentence() -> None:
    with pytest.raises(SimulatorError, match="stumble relay"):
        Runner(Sink(refuse=10**9), patience=0.01).run(stream())


def test_stop_ends_the_run() -> None:
    stop = Event()
    stop.set()
    assert Runner(Sink(), stop=stop).run(stream()).accepted == 0


def test_poison_cannot_be_decoded_and_is_the_same_for_a_seed() -> None:
    event = next(iter(stream())).event
    first = [value for value, _ in zip(bad_values(event, 1), range(20), strict=False)]
    second = [value for value, _ in zip(bad_values(event, 1), range(20), strict=False)]
    assert first == second
    for value in first:
        with pytest.raises(WireError):
            Decoder(EVENT).decode(value)
