"""What a helper runs: one job after the other, as its parent tells it over a pipe, until the pipe ends.

A job is a conversation: its `work` takes and gives whatever both sides agreed upon, and is followed by an `Ended`.
"""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from stumble.runtime.affinity import pin_to_core
from stumble.runtime.gc_pause import gc_paused, limit_malloc_arenas
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    Pipe = Connection[Any, Any]


class Job(Protocol):
    """Something to do for the parent; it is pickled."""

    def work(self, pipe: Pipe) -> None:
        """Do it."""


@dataclass(slots=True)
class Ended:
    """A job is over; `error` is what it raised."""

    error: BaseException | None = None


def main(descriptor: int, number: int) -> None:
    """Serve the parent at the other end of a socket, until it is closed there; `number`: of its processes, which."""
    limit_malloc_arenas()
    with gc_paused(), pin_to_core(number), suppress(EOFError, OSError), Connection(descriptor) as pipe:
        while True:
            pipe.send(_done(pipe.recv(), pipe))


def _done(job: Job, pipe: Pipe) -> Ended:
    try:
        job.work(pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise  # the parent is gone
    except Exception as error:  # noqa: BLE001  # the parent raises it
        return Ended(_portable(error))
    return Ended()


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent: itself, or its words."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    except Exception:  # noqa: BLE001  # whatever its class does there
        return StumbleError(f"{type(error).__name__}: {error}")
    return error
