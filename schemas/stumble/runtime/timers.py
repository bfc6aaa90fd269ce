"""What a loop does now and then: named intervals on the monotonic clock."""

from __future__ import annotations

import time


class Timers:
    """Remembers when each named thing is due."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def due(self, name: str, every: float) -> bool:
        """Tell whether it is time (the first time always is); then the next is `every` seconds from now."""
        if not self.past(name):
            return False
        self.put_off(name, every)
        return True

    def past(self, name: str) -> bool:
        """Tell whether it is time."""
        return time.monotonic() >= self._next.get(name, 0.0)

    def put_off(self, name: str, seconds: float) -> None:
        """Let the next time be so many seconds from now."""
        self._next[name] = time.monotonic() + seconds
