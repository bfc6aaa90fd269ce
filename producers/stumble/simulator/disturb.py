"""Disturbs a stream the way networks and restarts do: events come twice, and not in order."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Shares of events that come twice and that come late, and by how many seconds at most."""

    duplicates: float = 0.0
    disorder: float = 0.0
    within: float = 2.0

    def arrivals(self, at_us: int, rng: Random) -> tuple[int, ...]:
        """Return the times (microseconds) at which an event of the time `at_us` arrives: one or two."""
        first = at_us + self._late(rng) if rng.random() < self.disorder else at_us
        if rng.random() < self.duplicates:
            return (first, first + self._late(rng))
        return (first,)

    def _late(self, rng: Random) -> int:
        return int(rng.random() * self.within * 1_000_000)
