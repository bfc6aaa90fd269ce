"""The loop of every background thread: work, wait, pause longer after each failure, end when stopped."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

FIRST_PAUSE_SECONDS = 0.4
LONGEST_PAUSE_SECONDS = 5.0


def pause_after(failures: int) -> float:
    """Return the seconds to wait after `failures` failures in a row: doubled each time, up to the longest pause."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 6))


class Worker(threading.Thread, ABC):
    """A thread that calls `run_once` until `stopping` is set; an error does not end it."""

    def __init__(self, name: str, log: logging.Logger, stopping: threading.Event | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self.log = log
        self.stopping = stopping or threading.Event()

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
            try:
                pause = self.run_once()
                failures = 0
            except Exception as error:  # noqa: BLE001  # nothing would notice a thread that has ended
                failures += 1
                pause = pause_after(failures)
                self.on_error(error)
            self.stopping.wait(pause)
        self.close()
