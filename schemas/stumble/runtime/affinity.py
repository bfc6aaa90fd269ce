"""Pins the threads of a busy process to one core while no other process needs that core.

Python runs one thread at a time. On two cores, the data that one thread has just read is in the caches of a different
core when the next thread runs, which costs a sixth of the rate (docs/benchmarks.md). Linux moves other processes to
other cores by itself; if a process cannot or does not move, this process is unpinned and runs on any core.
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

#: Number of a projector that is pinned to no core.
NONE = -1
#: Shares of a core's time that this process uses: pin at the first or above, unpin below the second.
_PIN_AT, _UNPIN_BELOW = 0.5, 0.2
#: Unpin when other processes use more than this share of the core; database sessions on the same host use a fifth.
_MAX_OTHERS = 0.35
#: Seconds (minimum, maximum) that the process then stays unpinned; random, so two processes don't collide again.
_UNPINNED_SECONDS = (5.0, 15.0)
#: Fields of a line of /proc/stat that are not busy time: idle and waiting for a disk (proc_stat(5)).
_IDLE = (3, 4)
#: Field of /proc/PID/stat that names the core, counted from the field after the command (proc_pid_stat(5)).
_PROCESSOR = 36


class CoreTimes(NamedTuple):
    """Seconds: monotonic time, CPU time of this process, and busy time of each core since boot."""

    at: float
    own: float
    cores: dict[int, float]


@contextmanager
def pin_to_core(number: int | None = None, every_seconds: float = 1.0) -> Iterator[None]:
    """Pin all threads of this process to one core while the body runs, unless other processes need that core."""
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


def permitted_cores() -> list[int]:
    """Return the cores that this process may run on; empty if the system does not report them."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@dataclass(slots=True)
class CoreAffinity:
    """Pins this process to a core; call `update` every second.

    `number` is an index into the permitted cores; None means the core that the main thread runs on.
    """

    number: int | None = None
    allowed: list[int] = field(default_factory=permitted_cores)
    pinned: int | None = None
    _before: CoreTimes | None = None
    _unpinned_until: float = 0.0

    def update(self) -> None:
        """Pin or unpin this process, depending on the CPU time used since the last update."""
        if len(self.allowed) < 2 or self.number == NONE:
            return
        try:
            now, before = read_core_times(), self._before
            self._before = now
            if before is not None:
                self._decide(before, now)
        except (OSError, ValueError, IndexError):  # /proc is missing or has another format
            with suppress(OSError):
                self.unpin()
            self.allowed = []

    def unpin(self) -> None:
        """Let all threads run on every permitted core again."""
        if self.pinned is not None:
            self.pin(None)

    def _decide(self, before: CoreTimes, now: CoreTimes) -> None:
        span = now.at - before.at
        own = (now.own - before.own) / span
        if self.pinned is None:
            if own >= _PIN_AT and now.at >= self._unpinned_until:
                self.pin(self._choice())
            return
        others = (now.cores.get(self.pinned, 0.0) - before.cores.get(self.pinned, 0.0)) / span - own
        if others > _MAX_OTHERS:
            self._unpinned_until = now.at + random.uniform(*_UNPINNED_SECONDS)  # noqa: S311  # no secret
            LOG.debug("Other processes use %.0f %% of core %s; unpinning.", 100 * others, self.pinned)
        if others > _MAX_OTHERS or own < _UNPIN_BELOW:
            self.unpin()

    def _choice(self) -> int:
        return current_core() if self.number is None else self.allowed[self.number % len(self.allowed)]

    def pin(self, core: int | None) -> None:
        """Let all threads run on `core` only; None: on every core that this process may use."""
        self.pinned = core
        wanted = self.allowed if core is None else [core]
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # the thread has ended, or the system forbids it
                os.sched_setaffinity(int(thread.name), wanted)


def read_core_times() -> CoreTimes:
    """Return the CPU time of this process and the busy time of each core until now."""
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
