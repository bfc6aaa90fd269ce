"""Processes that take a share of the reading and deriving: Python's threads would take turns on one core.

A helper is an interpreter of its own at the other end of a socket, and knows only what it is told. It ends when its
parent does, however that comes about.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Pipe, wait
from typing import TYPE_CHECKING, Any, Self, TypeVar

from stumble.audit.worker_main import Ended, Job
from stumble.runtime.affinity import permitted, pin_to_core
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

T = TypeVar("T")
#: With fewer records the work is done before a helper is up.
_WORTH_HELP = 30_000
#: Two stay within 300 MB; more are for who asks for them.
_MOST = 2
_SECONDS_TO_END = 5.0
#: Ctrl-C reaches the whole group; it is the parent's to answer.
_MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from stumble.audit.worker_main import main
main(int(sys.argv[1]), int(sys.argv[2]))
"""


def processes_for(records: int, asked: int | None) -> int:
    """Return how many processes share the work on so many records, unless a number is asked for."""
    if asked is not None:
        return asked
    return min(_MOST, len(permitted()) or os.cpu_count() or 1) if records >= _WORTH_HELP else 1


class WorkerProcess:
    """One process, asked for one job at a time: `begin` it, `tell` and `hear` what belongs to it."""

    def __init__(self, number: int) -> None:
        """Start it as this one of the command's processes; the command itself is number 0."""
        self.pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own
                [sys.executable, "-c", _MAIN, str(theirs.fileno()), str(number)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def begin(self, job: Job) -> None:
        """Start a job."""
        self.tell(job)

    def tell(self, what: object) -> None:
        """Send what a job waits for."""
        try:
            self.pipe.send(what)
        except OSError as error:
            raise self._gone() from error

    def hear(self) -> Any:
        """Return what a job answers, None when it is over; raises what it raised."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if not isinstance(answer, Ended):
            return answer
        if answer.error is not None:
            raise answer.error
        return None

    def end(self) -> None:
        """Let it go: it ends by itself when nobody is at the other end."""
        self.pipe.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _gone(self) -> StumbleError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        return StumbleError(
            f"A helping process ended ({_how(self._process.returncode)}) in the middle of its work: see whether the "
            "machine ran out of memory, and run the command again, with --processes 1 if it must take less."
        )


class WorkerPool:
    """The helpers of one command; none of them outlives it."""

    def __init__(self) -> None:
        self.helpers: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.end()

    def gather(self, processes: int) -> None:
        """Start as many helpers as are missing for so many processes in all, this one included."""
        while len(self.helpers) < processes - 1:
            self.helpers.append(WorkerProcess(len(self.helpers) + 1))

    def cores(self) -> AbstractContextManager[None]:
        """Keep this process to a core, as each helper keeps to one of its own."""
        return pin_to_core(0 if self.helpers else None)

    def end(self) -> None:
        """End all of them."""
        while self.helpers:
            self.helpers.pop().end()


def merged(own: Iterable[T], helpers: Sequence[WorkerProcess]) -> Iterator[T]:
    """Yield what comes of a job that this process and `helpers`, which have begun it, share."""
    busy = {helper.pipe: helper for helper in helpers}
    for item in own:
        yield item
        yield from _heard(busy, 0)
    while busy:
        yield from _heard(busy, None)


def _heard(busy: dict[Any, WorkerProcess], seconds: float | None) -> Iterator[Any]:
    """Yield what helpers say within some seconds, as long as they go on; forget those that are done."""
    while busy and (ready := wait(list(busy), seconds)):
        for pipe in ready:
            answer = busy[pipe].hear()
            if answer is None:
                del busy[pipe]
            else:
                yield answer


def _how(status: int | None) -> str:
    if status is None:
        return "it does not answer"
    return f"signal {-status}" if status < 0 else f"status {status}"
