"""Maps the time of a stream to wall-clock time."""

from __future__ import annotations

import time
from collections.abc import Callable

_MICROS = 1_000_000


class Pacer:
    """Waits until a time of the stream is reached.

    `speed` is the number of stream seconds per wall-clock second; `wait` sleeps for at most the given number of
    seconds (`threading.Event.wait`, so that a stop ends it).
    """

    def __init__(self, start_us: int, wait: Callable[[float], object], speed: float = 1.0) -> None:
        self._start_us = start_us
        self._wait = wait
        self._speed = speed
        self._began = time.monotonic()

    def until(self, at_us: int) -> None:
        """Wait until a time of the stream (UTC microseconds); return immediately if it has passed."""
        due = (at_us - self._start_us) / _MICROS / self._speed
        remaining = due - (time.monotonic() - self._began)
        if remaining > 0:
            self._wait(remaining)
