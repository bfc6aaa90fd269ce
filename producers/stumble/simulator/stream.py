"""The stream: starts requests, and merges their signals in the order of their times.

The same settings give the same events, at any speed of the consumer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from stumble.simulator import causes
from stumble.simulator.disturb import Disturbance
from stumble.simulator.fleet import SimulatedFleet, SimulatedInstance
from stumble.simulator.mix import Mix
from stumble.simulator.player import Play, Player
from stumble.simulator.storm import Storms
from stumble.simulator.story import Story
from stumble.simulator.truth import Truth

_MICROS = 1_000_000
_TRIES = 50
#: Largest share by which the fleet may grow or shrink.
_SLACK = 0.2
#: Time without a request on an instance after a request (microseconds).
_REST_US = 500_000


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Settings of a stream.

    `rate` is the mean number of events per second of stream time, `start_us` the start of the stream (UTC
    microseconds). No new request starts after `events` events or `seconds` seconds of stream time (None: no limit).
    `pace` multiplies the duration of requests; `skew_ms` is the maximum clock error of a host; `hot_share` is the
    share of failing requests that have the same cause.
    """

    seed: int = 1
    start_us: int = 1_767_225_600_000_000
    instances: int = 1000
    rate: float = 200.0
    failures: float = 0.1
    weights: Mapping[str, float] = field(default_factory=dict)
    events: int | None = None
    seconds: float | None = None
    pace: float = 1.0
    skew_ms: float = 20.0
    disturbance: Disturbance = field(default_factory=Disturbance)
    storm_every: float = 0.0
    hot_share: float = 0.0


class Item(NamedTuple):
    """One arrival. `truths` belong to the requests that this arrival completes."""

    at_us: int
    event: dict[str, Any]
    truths: tuple[Truth, ...]


@dataclass(slots=True)
class _Running:
    """A play, and the number of its events that have not arrived yet."""

    play: Play
    left: int


class _Pending(NamedTuple):
    """A scheduled arrival; `repeats` marks a duplicate."""

    at_us: int
    number: int
    event: dict[str, Any]
    running: _Running
    repeats: bool


class Stream:
    """Iterates over the arrivals of one simulation."""

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings
        self._rng = Random(f"{settings.seed}:{settings.start_us}")  # noqa: S311 -- simulation, no secret
        self._fleet = SimulatedFleet(settings.instances, Random(settings.seed))  # noqa: S311
        self._mix = Mix(settings.failures, settings.weights)
        self._player = Player(self._fleet, self._rng, pace=settings.pace, skew_us=int(settings.skew_ms * 1000))
        self._storms = Storms(settings.start_us, settings.storm_every, self._rng)
        self._hot = causes.POOLS["power_off"][0]
        self._gap_us = self._mix.mean_events() / settings.rate * _MICROS
        self._pending: list[_Pending] = []
        self._busy: list[tuple[int, int, SimulatedInstance]] = []
        self._scheduled = 0
        self._plays = 0

    def __iter__(self) -> Iterator[Item]:
        next_us = self.settings.start_us
        while self._pending or not self._over(next_us):
            if not self._over(next_us) and (not self._pending or next_us <= self._pending[0].at_us):
                self._begin(next_us)
                next_us += int(self._rng.expovariate(1.0) * self._gap_us)
            else:
                yield self._arrive(heapq.heappop(self._pending))

    def _over(self, now_us: int) -> bool:
        settings = self.settings
        if settings.events is not None and self._scheduled >= settings.events:
            return True
        return settings.seconds is not None and now_us - settings.start_us >= settings.seconds * _MICROS

    def _begin(self, now_us: int) -> None:
        while self._busy and self._busy[0][0] <= now_us:
            self._fleet.release(heapq.heappop(self._busy)[2])
        for _ in range(_TRIES):
            story, forced = self._choose(now_us)
            instance = self._fleet.new_instance() if "new" in story.needs else self._fleet.take_idle(story.needs)
            if instance is not None:
                break
        else:
            return
        play = self._player.play(story, instance, now_us, forced)
        running = _Running(play, len(play.events))
        self._plays += 1
        heapq.heappush(self._busy, (play.ends_at + _REST_US, self._plays, instance))
        for at_us, event in play.events:
            self._schedule(at_us, event, running)

    def _choose(self, now_us: int) -> tuple[Story, causes.Kind | None]:
        """Return a random story that keeps the fleet's size in bounds, and the cause that a storm forces on it."""
        storm = self._storms.at(now_us)
        if storm and self._rng.random() < storm.share:
            return self._mix.named(storm.story), storm.kind
        size = self._fleet.size
        while True:
            story = self._mix.draw(self._rng)
            if story.fails and self._rng.random() < self.settings.hot_share:
                return self._mix.named("stop.fails"), self._hot
            grows, shrinks = "new" in story.needs, story.leaves == "deleted" and "new" not in story.needs
            if not (grows and self._fleet.alive > size * (1 + _SLACK)) and not (
                shrinks and self._fleet.alive < size * (1 - _SLACK)
            ):
                return story, None

    def _schedule(self, at_us: int, event: dict[str, Any], running: _Running) -> None:
        for repeat, arrives_us in enumerate(self.settings.disturbance.arrivals(at_us, self._rng)):
            self._scheduled += 1
            heapq.heappush(self._pending, _Pending(arrives_us, self._scheduled, event, running, repeat > 0))

    @staticmethod
    def _arrive(pending: _Pending) -> Item:
        running = pending.running
        if not pending.repeats:
            running.left -= 1
        complete = not pending.repeats and running.left == 0
        return Item(pending.at_us, pending.event, running.play.truths if complete else ())
