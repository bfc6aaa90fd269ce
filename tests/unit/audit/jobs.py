"""Jobs for helpers of an audit."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stumble.audit.worker_pool import WorkerPool
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from stumble.audit.worker_main import Pipe


@dataclass
class Count:
    """Says numbers."""

    start: int
    end: int

    def work(self, pipe: Pipe) -> None:
        for number in range(self.start, self.end):
            pipe.send(number)


@dataclass
class Double:
    """Doubles what it is told, until it is told None; stumbles over 13, and dies of 666."""

    def work(self, pipe: Pipe) -> None:
        while (number := pipe.recv()) is not None:
            if number == 13:
                raise StumbleError("Thirteen is not doubled.")
            if number == 14:
                raise Unportable(1, 2)
            if number == 666:
                os.kill(os.getpid(), signal.SIGKILL)
            pipe.send(2 * number)


class Unportable(Exception):
    """Can be pickled and not read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def waiting_crew() -> None:
    """Start helpers, say their process ids, and wait for ever."""
    crew = WorkerPool()
    crew.gather(3)
    crew.helpers[0].begin(Double())
    print(*(helper._process.pid for helper in crew.helpers), flush=True)
    signal.pause()
