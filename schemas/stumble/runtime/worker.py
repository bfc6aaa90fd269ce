"""The loop of every background thread: work, wait, pause longer after each failure, end when stopped."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable

FIRST_PAUSE_SECONDS = 0.4
LONGEST_PAUSE_SECONDS = 5.0


def pause_after(failures: int) -> float:
    """Return the seconds to wait after `failures` failures in a row: doubled each time, up to the longest pause."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 6))


class Worker(threading.Thread, ABC):
    """A thread that calls `run_once` until `stopping` is set; an error does not end it."""

    #: A call of `run_once` that takes longer is stuck, unless it waits for a service that does not answer.
    longest_call_seconds = 120.0

    def __init__(self, name: str, log: logging.Logger, stopping: threading.Event | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self.log = log
        self.stopping = stopping or threading.Event()
        #: When `run_once` was called last, seconds on the monotonic clock.
        self.called_at = time.monotonic()

    @abstractmethod
    def run_once(self) -> float:
        """Do one unit of work; return the seconds to wait before the next call."""

    def on_error(self, error: Exception) -> None:
        """Report an exception from `run_once`, which is called again after a pause."""
        self.log.error("Unexpected error; %s retries.", self.name, exc_info=error)

    def close(self) -> None:
        """Release the worker's resources; called once, in its thread, when it ends."""

    def end(self) -> None:
        """Let the thread end after the current call of `run_once`."""
        self.stopping.set()

    def run(self) -> None:
        """Call `run_once` until `stopping` is set."""
        failures = 0
        while not self.stopping.is_set():
            self.called_at = time.monotonic()
            try:
                pause = self.run_once()
                failures = 0
            except Exception as error:  # noqa: BLE001  # nothing would notice a thread that has ended
                failures += 1
                pause = pause_after(failures)
                self.on_error(error)
            self.stopping.wait(pause)
        self.close()


def find_stuck_thread(workers: Iterable[Worker], excused_until: float = float("-inf")) -> str | None:
    """Return a sentence about a thread that ended or is stuck in one call, so that a restart helps; None: all work.

    ``excused_until``: until then (monotonic seconds) a service did not answer, so threads may have waited for it.
    """
    now = time.monotonic()
    for worker in workers:
        if worker.ident is None or worker.stopping.is_set():
            continue
        if not worker.is_alive():
            return f"The thread {worker.name} has ended: restart this process."
        if (seconds := now - max(worker.called_at, excused_until)) > worker.longest_call_seconds:
            return f"The thread {worker.name} has not finished its work for {seconds:.0f} s: restart this process."
    return None
