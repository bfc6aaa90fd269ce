"""Lets a stream's own time pass at the speed of the wall's."""

from __future__ import annotations

import time
from collections.abc import Callable

_MICROS = 1_000_000


class Pacer:
    """Waits for the moment at which something of the stream's time is due.

    `speed` is how many seconds of the stream pass in one of the wall; `wait` sleeps for at most the given number
    of seconds (an event's wait, so that a stop ends it).
    """

    def __init__(self, start_us: int, wait: Callable[[float], object], speed: float = 1.0) -> None:
        self._start_us = start_us
        self._wait = wait
        self._speed = speed
        self._began = time.monotonic()

    def until(self, at_us: int) -> None:
        """Wait until a time of the stream (UTC microseconds); late is late, nothing is skipped."""
        due = (at_us - self._start_us) / _MICROS / self._speed
        left = due - (time.monotonic() - self._began)
        if left > 0:
            self._wait(left)
