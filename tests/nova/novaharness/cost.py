"""stumble's share of Nova's CPU time: measured inside the process, so that a busy machine has no influence."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any


class Cost:
    """Sums the CPU time spent in the driver and the tap since `install`."""

    def __init__(self) -> None:
        self.calls = 0
        self.spent_ns = 0
        self._started_ns = 0
        self._depth = 0

    def install(self) -> None:
        """Measure from now on. The driver must be loaded."""
        from stumble.nova import driver, tap

        driver.StumbleDriver.notify = self._measured(driver.StumbleDriver.notify)  # type: ignore[method-assign]
        tap._before, tap._after = self._measured(tap._before), self._measured(tap._after)
        self.restart()

    def restart(self) -> None:
        """Start again from zero, after a warm-up."""
        self.calls = self.spent_ns = 0
        self._started_ns = time.process_time_ns()

    def result(self) -> dict[str, float]:
        """Return the share of stumble in the CPU time, and the mean of one call in microseconds."""
        total = time.process_time_ns() - self._started_ns
        return {
            "share": self.spent_ns / (total - self.spent_ns),
            "calls": self.calls,
            "us_per_call": self.spent_ns / 1000 / max(self.calls, 1),
            "cpu_s": total / 1e9,
        }

    def _measured(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def measured(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            started = time.process_time_ns()
            try:
                return original(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.spent_ns += time.process_time_ns() - started
                    self.calls += 1

        return measured
