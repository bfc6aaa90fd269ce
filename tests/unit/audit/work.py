"""Tasks for the worker processes of an audit, in a module that they can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

from stumble.audit.workers import Workers
from stumble.wire.errors import StumbleError


class Unportable(Exception):
    """Can be pickled but not unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def double(number: int) -> int:
    """Return twice a number; 13 raises StumbleError, 14 raises Unportable, 666 kills the process."""
    if number == 13:
        raise StumbleError("Thirteen is not doubled.")
    if number == 14:
        raise Unportable(1, 2)
    if number == 666:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def count(span: tuple[int, int]) -> Iterator[int]:
    """Yield the numbers of a range."""
    yield from range(*span)


def print_pid_and_sleep(_: int) -> None:
    """Print the id of this process and sleep."""
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(120)


def main() -> None:
    """Start two workers that do not end by themselves."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with SIGINT ignored
    with Workers(2) as workers:
        list(workers.map(print_pid_and_sleep, range(2)))


if __name__ == "__main__":
    main()
