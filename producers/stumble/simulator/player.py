"""Plays a story on an instance: returns its events with their times, and the truth about its requests."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from stumble.simulator import causes
from stumble.simulator.causes import Raised
from stumble.simulator.fleet import Project, SimulatedFleet, SimulatedInstance, draw_uuid
from stumble.simulator.render import Call, Moment, StoryScene, render_signal
from stumble.simulator.story import RequestTruth, Story, StorySignal
from stumble.simulator.truth import Truth, key_of, true_failure

_ADMIN_ACTIONS = frozenset({"live-migration", "live_migration_cancel", "migrate", "evacuate"})
_ADMIN_SHARE = 0.05
_GLOBAL_SHARE = 0.3
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Play:
    """A played story: `events` are (time of the signal in UTC microseconds, event), in order."""

    story: Story
    instance: SimulatedInstance
    events: list[tuple[int, dict[str, Any]]]
    truths: tuple[Truth, ...]
    ends_at: int


class Player:
    """Plays stories with one random source; `pace` multiplies the time between signals."""

    def __init__(self, fleet: SimulatedFleet, rng: Random, *, pace: float = 1.0, skew_us: int = 0) -> None:
        self._fleet = fleet
        self._rng = rng
        self._pace = pace
        self._skew_us = skew_us
        self._skews: dict[str, int] = {}

    def play(self, story: Story, instance: SimulatedInstance, start_us: int, forced: causes.Kind | None = None) -> Play:
        """Play a story from `start_us` on; `forced`: the exception of all causes with the first cause's pool."""
        before = instance.vm_state
        stage = StoryScene(instance, self._hosts_by_role(instance), before)
        calls = self._calls(story, instance)
        raised = self._raise_all(story, stage, forced)
        events = []
        now = start_us
        for signal in story.signals:
            now += int(signal.wait * self._rng.uniform(0.5, 1.5) * self._pace * _MICROS)
            stage.enter(signal)
            shown = raised.get(signal.cause) if signal.cause else None
            host = stage.hosts_by_role[signal.role]
            moment = Moment(now + self._skew(host), draw_uuid(self._rng))
            event = render_signal(signal, stage, calls[signal.request], shown, moment)
            events.append((now, event))
        if story.leaves != "same":
            instance.vm_state = story.leaves
        if story.moves:
            instance.host = stage.hosts_by_role[story.moves]
        return Play(story, instance, events, _truths(story, stage, calls, raised, before), now)

    def _hosts_by_role(self, instance: SimulatedInstance) -> dict[str, str]:
        second = self._fleet.host(instance.cell, instance.host)
        return {
            "api": f"api-{self._rng.randrange(3) + 1}",
            "conductor": f"conductor-{instance.cell + 1}",
            "host": instance.host,
            "second": second,
            "third": self._fleet.host(instance.cell, instance.host, second),
        }

    def _calls(self, story: Story, instance: SimulatedInstance) -> list[Call]:
        """Return each request with random ids, initiator and target; one identity means one request id."""
        ids: dict[int, tuple[str, str | None]] = {}
        calls = []
        for request in story.requests:
            if request.identity not in ids:
                shared = f"req-{draw_uuid(self._rng)}" if self._rng.random() < _GLOBAL_SHARE else None
                ids[request.identity] = (f"req-{draw_uuid(self._rng)}", shared)
            request_id, global_request_id = ids[request.identity]
            target_id = draw_uuid(self._rng) if request.target_kind else None
            moves = request.action == "migrate"
            flavor = instance.flavor if moves else self._fleet.flavor_other_than(instance.flavor)
            who = self._initiator(request, instance)
            calls.append(Call(request, request_id, global_request_id, who, target_id, flavor, draw_uuid(self._rng)))
        return calls

    def _initiator(self, request: RequestTruth, instance: SimulatedInstance) -> Project | None:
        if request.system:
            return None
        if request.action in _ADMIN_ACTIONS or self._rng.random() < _ADMIN_SHARE:
            return self._fleet.admin
        return instance.project

    def _raise_all(self, story: Story, stage: StoryScene, forced: causes.Kind | None) -> dict[str, Raised | None]:
        raised: dict[str, Raised | None] = {}
        for cause in story.causes:
            if cause.unraised:
                raised[cause.key] = None
                continue
            same = cause.pool == story.causes[0].pool
            kind = forced if forced and same else causes.pick(cause.pool, self._rng)
            inner = raised.get(cause.wraps) if cause.wraps else None
            raised[cause.key] = self._raise(kind, stage, stage.hosts_by_role[story.place_of(cause.key)], inner)
        return raised

    def _raise(self, kind: causes.Kind, stage: StoryScene, host: str, inner: Raised | None) -> Raised:
        exception, template, module, function = kind
        rng = self._rng
        message = template.format(
            instance=stage.instance.uuid,
            uuid=draw_uuid(rng),
            host=host,
            hex=f"{rng.getrandbits(128):032x}",
            number=rng.randrange(10, 4096),
            letter=rng.choice("bcdefgh"),
            wrapped=inner.message if inner else "",
        )
        return Raised(
            exception=exception,
            message=message,
            module=module,
            function=function,
            traceback=causes.traceback_of(exception, message, module, function, rng),
            chain=(inner.exception,) if inner else (),
            token=f"{rng.getrandbits(64):016x}",
        )

    def _skew(self, host: str) -> int:
        if not self._skew_us:
            return 0
        if host not in self._skews:
            own = Random(f"{host}:{self._skew_us}")  # noqa: S311 -- simulation, no secret
            self._skews[host] = own.randint(-self._skew_us, self._skew_us)
        return self._skews[host]


def _truths(
    story: Story, stage: StoryScene, calls: list[Call], raised: dict[str, Raised | None], before: str
) -> tuple[Truth, ...]:
    """Return the truth about each request. If the instance was in ERROR before, ending in ERROR is no effect."""
    truths = []
    for index, call in enumerate(calls):
        request = call.request
        key = key_of(stage.instance.uuid, call.request_id, request.action)
        failures = []
        for name in request.failures:
            result = raised[name]
            exception = result.exception if result else story.cause(name).unraised or ""
            failures.append(true_failure(key, stage.hosts_by_role[story.place_of(name)], exception))
        truths.append(
            Truth(
                request_key=key,
                instance_uuid=stage.instance.uuid,
                request_id=call.request_id,
                action=request.action,
                outcome=request.outcome,
                verdict=request.verdict,
                effect="NONE" if request.effect == "ERROR" == before.upper() else request.effect,
                failures=tuple(failures),
                story=story.name,
                events=_count(story.signals, index),
            )
        )
    return tuple(truths)


def _count(signals: tuple[StorySignal, ...], index: int) -> int:
    return sum(signal.request == index for signal in signals)
