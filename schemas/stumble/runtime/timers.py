"""Named intervals on the monotonic clock, for periodic work of a loop."""

from __future__ import annotations

import time


class Timers:
    """Remembers when each named task is due."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def due(self, name: str, every: float) -> bool:
        """Return whether `name` is due (the first time always); if so, it is next due in `every` seconds."""
        if not self.past(name):
            return False
        self.put_off(name, every)
        return True

    def past(self, name: str) -> bool:
        """Return whether `name` is due."""
        return time.monotonic() >= self._next.get(name, 0.0)

    def put_off(self, name: str, seconds: float) -> None:
        """Make `name` due in `seconds` from now."""
        self._next[name] = time.monotonic() + seconds
