"""Keeps the threads of a busy process on one core while nothing else needs that core.

Python lets one of them run at a time. On two cores, what one thread has just read is in the other core's caches when
the next one takes its turn: a sixth of the rate (docs/benchmarks.md). Linux moves what else runs to other cores by
itself; what can't or doesn't move has the core, and we run where there is room.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = logging.getLogger("stumble.core")

#: Number of a projector that keeps to no core.
NONE = -1
#: Of a core's time: from so much work on it is worth it, below so much it isn't any more.
_BUSY, _CALM = 0.5, 0.2
#: Others that take more of the core than that keep it: a database's sessions on the same host take a fifth.
_OTHERS = 0.35
#: Seconds that the projector then runs anywhere, at least and at most: two that meet don't meet again.
_UNPINNED_SECONDS = (5.0, 15.0)
#: Fields of a line of /proc/stat that are not work: idle and waiting for a disk (proc_stat(5)).
_IDLE = (3, 4)
#: Field of /proc/PID/stat that names the core, counted from behind the command (proc_pid_stat(5)).
_PROCESSOR = 36


class CoreTimes(NamedTuple):
    """Seconds: the time, this process's CPU time, and the time that each core has worked since it was started."""

    at: float
    own: float
    cores: dict[int, float]


@contextmanager
def pin_to_core(number: int | None = None, every_seconds: float = 1.0) -> Iterator[None]:
    """Keep all threads of this process on one core while the body runs, except where others need it."""
    core, ended = CoreAffinity(number), threading.Event()

    def run_updates() -> None:
        while not ended.wait(every_seconds):
            core.update()

    thread = threading.Thread(target=run_updates, name="core", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        core.unpin()


def permitted() -> list[int]:
    """Return the cores that this process may run on, none where the system doesn't tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@dataclass(slots=True)
class CoreAffinity:
    """`update` every second. `number`: which of its cores, from 0; None: the one that its main thread runs on."""

    number: int | None = None
    allowed: list[int] = field(default_factory=permitted)
    pinned: int | None = None
    _before: CoreTimes | None = None
    _away_until: float = 0.0

    def update(self) -> None:
        """Keep to a core, or leave it, by what was used since the last look."""
        if len(self.allowed) < 2 or self.number == NONE:
            return
        try:
            now, before = read_core_times(), self._before
            self._before = now
            if before is not None:
                self._decide(before, now)
        except (OSError, ValueError, IndexError):  # a system whose /proc is away or another
            with suppress(OSError):
                self.unpin()
            self.allowed = []

    def unpin(self) -> None:
        """Run anywhere again."""
        if self.pinned is not None:
            self.pin(None)

    def _decide(self, before: CoreTimes, now: CoreTimes) -> None:
        span = now.at - before.at
        own = (now.own - before.own) / span
        if self.pinned is None:
            if own >= _BUSY and now.at >= self._away_until:
                self.pin(self._choice())
            return
        others = (now.cores.get(self.pinned, 0.0) - before.cores.get(self.pinned, 0.0)) / span - own
        if others > _OTHERS:
            self._away_until = now.at + random.uniform(*_UNPINNED_SECONDS)  # noqa: S311  # no secret
            LOG.debug("Core %s is needed by others (%.0f %%).", self.pinned, 100 * others)
        if others > _OTHERS or own < _CALM:
            self.unpin()

    def _choice(self) -> int:
        return current_core() if self.number is None else self.allowed[self.number % len(self.allowed)]

    def pin(self, core: int | None) -> None:
        """Let all threads run on `core` only; None: on every core that this process may use."""
        self.pinned = core
        wanted = self.allowed if core is None else [core]
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it has ended, or the system forbids it
                os.sched_setaffinity(int(thread.name), wanted)


def read_core_times() -> CoreTimes:
    """Return the time that this process and each core have worked until now."""
    tick = os.sysconf("SC_CLK_TCK")
    cores = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            work = sum(int(ticks) for field_number, ticks in enumerate(fields[:8]) if field_number not in _IDLE)
            cores[int(name[3:])] = work / tick
    return CoreTimes(time.monotonic(), time.process_time(), cores)


def current_core() -> int:
    """Return the core that the main thread runs on."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_PROCESSOR])
