"""Stories: the signals of a request and its true outcome, as data from which the player makes events.

The `.story` files in `stories/` contain them as text, which `parser` reads. Hosts are named by role (`api`,
`conductor`, `host`, `second`, `third`); the fleet assigns a host name to each role.
"""

from __future__ import annotations

from dataclasses import dataclass


class StoryError(ValueError):
    """A story cannot be parsed, or a weight fits no story; the message says which."""


@dataclass(frozen=True, slots=True)
class StorySignal:
    """One signal of a service.

    `name` is the event's signal (`action_start`, `instance.create`, `fault`, …), `phase` the
    event's phase, `cause` the key of the cause that it shows, `request` the index of its request in the
    story. `wait` is the mean number of seconds after the previous signal.
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
    """A cause: an exception from a pool, or a failure that no exception shows; `wraps` is the key of an inner cause."""

    key: str
    pool: str
    wraps: str | None = None

    @property
    def unraised(self) -> str | None:
        """The class of a failure that no exception shows, None for exceptions."""
        return self.pool.removeprefix("unraised.") if self.pool.startswith("unraised.") else None


@dataclass(frozen=True, slots=True)
class RequestTruth:
    """The truth about one request of a story; `failures` are keys of causes, `identity` selects the request id."""

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
    """One course of one or more requests on an instance.

    `needs` lists the vm_states that the instance may have before (`new`: the story creates it), `leaves` is its
    vm_state afterwards (`same`: unchanged), `moves` the role of the host where it runs afterwards.
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
        """Whether anything fails in it, even if a later attempt succeeds."""
        return bool(self.causes) or any(request.outcome != "SUCCEEDED" for request in self.requests)

    def cause(self, key: str) -> Cause:
        """Return the cause with this key."""
        return next(cause for cause in self.causes if cause.key == key)

    def place_of(self, key: str) -> str:
        """Return the role that shows a cause first, which is the one that raised it."""
        return next(signal.role for signal in self.signals if signal.cause == key)
