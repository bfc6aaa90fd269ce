"""The clock's source of time: one object, so that a test can set it."""

from __future__ import annotations

import time


class WallClock:
    """The time of this machine."""

    def now(self) -> int:
        """Return the time, UTC microseconds."""
        return time.time_ns() // 1000

    def steady(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()
