"""Stories: what a request looks like from outside and what really happened. Data; the player makes events of it.

The `.story` files beside this module hold them as text; `parser` reads that text. Places are roles
(`api`, `conductor`, `host`, `second`, `third`), which the fleet fills with real host names.
"""

from __future__ import annotations

from dataclasses import dataclass


class StoryError(ValueError):
    """A story's text can't be understood; the message names file, line and reason."""


@dataclass(frozen=True, slots=True)
class StorySignal:
    """One signal that a service gives.

    `name` is the event vocabulary's signal (`action_start`, `instance.create`, `fault`, …), `phase` the
    event's phase, `cause` the key of the story's cause that it shows, `request` the position of the story's
    request that it belongs to. `wait` is the mean number of seconds since the signal before it.
    """

    role: str
    name: str
    phase: str
    step: str | None = None
    status: str | None = None
    cause: str | None = None
    vm_state: str | None = None
    task_state: str | None = None
    request: int = 0
    wait: float = 0.05


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that goes wrong: an exception drawn from a pool, or one that nothing raises; `wraps` names another."""

    key: str
    pool: str
    wraps: str | None = None

    @property
    def unraised(self) -> str | None:
        """The class under which a failure is kept that no exception tells of, None for exceptions."""
        return self.pool.removeprefix("unraised.") if self.pool.startswith("unraised.") else None


@dataclass(frozen=True, slots=True)
class RequestTruth:
    """The truth about one request of a story; `failures` are keys of causes, `identity` tells request ids apart."""

    action: str
    outcome: str
    effect: str = "NONE"
    verdict: str | None = None
    failures: tuple[str, ...] = ()
    identity: int = 0
    target_kind: str | None = None
    system: bool = False


@dataclass(frozen=True, slots=True)
class Story:
    """One way in which actions go.

    `needs` lists vm_states of an instance it may happen to (`new`: none exists yet),
    `leaves` is its vm_state afterwards (`same`: as before), `moves` the place where it runs afterwards.
    """

    name: str
    weight: float
    needs: tuple[str, ...]
    leaves: str
    requests: tuple[RequestTruth, ...]
    causes: tuple[Cause, ...]
    signals: tuple[StorySignal, ...]
    moves: str | None = None

    @property
    def fails(self) -> bool:
        """Whether anything goes wrong in it, also where a later attempt mends it."""
        return bool(self.causes) or any(request.outcome != "SUCCEEDED" for request in self.requests)

    def cause(self, key: str) -> Cause:
        """Return the cause with this key."""
        return next(cause for cause in self.causes if cause.key == key)

    def place_of(self, key: str) -> str:
        """Return the place where a cause is seen first: there it was raised."""
        return next(signal.role for signal in self.signals if signal.cause == key)
