"""Shared by stumble's jobs: a clock from the first record to the last commit, and one line of JSON."""

from __future__ import annotations

import json
import resource
import time


class Clock:
    """Measures from the first call of `start` to `report`."""

    def __init__(self) -> None:
        self.began: float | None = None
        self._cpu = 0.0

    def start(self) -> None:
        """Start; later calls change nothing."""
        if self.began is None:
            self.began, self._cpu = time.monotonic(), time.process_time()

    def report(self, events: int) -> None:
        """Print what was measured."""
        assert self.began is not None, "nothing was read"
        helping = resource.getrusage(resource.RUSAGE_CHILDREN)
        say(
            events=events,
            seconds=time.monotonic() - self.began,
            cpu_seconds=time.process_time() - self._cpu + helping.ru_utime + helping.ru_stime,
            rss_mb=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + helping.ru_maxrss) / 1024,
        )


def say(**found: object) -> None:
    """Print the job's result."""
    print(json.dumps(found), flush=True)
