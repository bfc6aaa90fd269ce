"""A clock that a test sets."""

from __future__ import annotations

from stumble.clock.wall_clock import WallClock

_SECOND_US = 1_000_000


class ManualClock(WallClock):
    """A clock that changes only when :meth:`advance` is called. `now_us`: UTC microseconds at the start."""

    def __init__(self, now_us: int = 1_790_000_000 * _SECOND_US) -> None:
        self._now_us = now_us
        self._steady = 0.0

    def now(self) -> int:
        """Return the time, UTC microseconds."""
        return self._now_us

    def steady(self) -> float:
        """Return the seconds since the start."""
        return self._steady

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now_us += int(seconds * _SECOND_US)
        self._steady += seconds
