"""Sends a stream to an emitter and writes the truth to a file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol, TextIO

from stumble.simulator.clock import Pacer
from stumble.simulator.stream import Item
from stumble.wire.errors import StumbleError

_RETRY_SECONDS = 0.05


class SimulatorError(StumbleError):
    """The simulator cannot continue; the text says what to do."""


class _Sink(Protocol):
    def emit(self, event: dict[str, Any]) -> bool: ...


@dataclass(slots=True)
class SimulationReport:
    """Result of a run: accepted events, refused attempts, requests by outcome."""

    accepted: int = 0
    refused: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Runner:
    """Sends events to a sink.

    `truth` gets a line for each request once all its events are accepted, flushed line by line; without `pacer`
    events are sent as fast as the sink accepts them. An event that the sink refuses is retried for `patience` seconds.
    """

    sink: _Sink
    truth: TextIO | None = None
    pacer: Pacer | None = None
    stop: Event = field(default_factory=Event)
    patience: float = 60.0
    after: Callable[[dict[str, Any]], None] | None = None
    report: SimulationReport = field(default_factory=SimulationReport)

    def run(self, items: Iterable[Item]) -> SimulationReport:
        """Send every item, or until `stop` is set.

        Raises:
            SimulatorError: the sink refused events for longer than `patience`.

        """
        for item in items:
            if self.pacer:
                self.pacer.until(item.at_us)
            if self.stop.is_set() or not self._emit(item.event):
                break
            self._report_progress(item)
            if self.after:
                self.after(item.event)
        return self.report

    def _emit(self, event: dict[str, Any]) -> bool:
        deadline = time.monotonic() + self.patience
        while not self.sink.emit(event):
            self.report.refused += 1
            if time.monotonic() > deadline:
                raise SimulatorError(
                    "The outbox accepts no more events: start the relay (`stumble relay`), or free disk space."
                )
            if self.stop.wait(_RETRY_SECONDS):
                return False
        self.report.accepted += 1
        return True

    def _report_progress(self, item: Item) -> None:
        for truth in item.truths:
            self.report.outcomes[truth.outcome] += 1
            if self.truth:
                self.truth.write(truth.line() + "\n")
                self.truth.flush()
