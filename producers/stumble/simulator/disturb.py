"""Duplicates and reorders events, as networks and restarts do."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Shares of duplicated and of delayed events, and the maximum delay in seconds."""

    duplicates: float = 0.0
    disorder: float = 0.0
    within: float = 2.0

    def arrivals(self, at_us: int, rng: Random) -> tuple[int, ...]:
        """Return the arrival times of an event at `at_us`, one or two (UTC microseconds)."""
        first = at_us + self._late(rng) if rng.random() < self.disorder else at_us
        if rng.random() < self.duplicates:
            return (first, first + self._late(rng))
        return (first,)

    def _late(self, rng: Random) -> int:
        return int(rng.random() * self.within * 1_000_000)
