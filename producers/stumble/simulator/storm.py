"""Storms: for some time, one cause makes actions of one kind fail on many instances."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from stumble.simulator import causes

_MICROS = 1_000_000
#: Story of a storm, and the pool of its exception.
_KINDS = (
    ("stop.fails", "power_off"),
    ("attach_volume.fails", "volume"),
    ("create.retries_exhausted", "build"),
    ("attach_interface.fails", "port"),
)


@dataclass(frozen=True, slots=True)
class Storm:
    """One storm: from `start_us` to `end_us` (UTC microseconds) a share of all requests plays `story`."""

    start_us: int
    end_us: int
    story: str
    kind: causes.Kind
    share: float = 0.5


class Storms:
    """Storms that start every `every` seconds and last `lasting` seconds; none if `every` is 0."""

    def __init__(self, start_us: int, every: float, rng: Random, lasting: float = 20.0) -> None:
        self._every_us = int(every * _MICROS)
        self._lasting_us = int(lasting * _MICROS)
        self._rng = rng
        self._next_us = start_us + self._every_us
        self._storm: Storm | None = None

    def at(self, now_us: int) -> Storm | None:
        """Return the storm at a time (UTC microseconds), or None. Times must not decrease between calls."""
        if not self._every_us:
            return None
        if now_us >= self._next_us:
            story, pool = self._rng.choice(_KINDS)
            self._storm = Storm(now_us, now_us + self._lasting_us, story, causes.pick(pool, self._rng))
            self._next_us = now_us + self._every_us
        return self._storm if self._storm and now_us < self._storm.end_us else None
