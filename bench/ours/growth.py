"""The projector while its store grows: rate and memory at regular numbers of events."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.ours.common import say
from stumble.projector.build import build_projector
from stumble.projector.settings import ProjectorSettings
from stumble.settings.base import load_settings

if TYPE_CHECKING:
    from stumble.ingest.transaction import WriteSummary


def main(count: int, every: int) -> None:
    """Project `count` records; sample after each `every`: events stored, events/s, CPU µs per event, RSS in MB."""
    service = build_projector(load_settings(), ProjectorSettings())
    stop, applied = threading.Event(), service.health.applied
    done, samples, last = 0, [], (0, time.monotonic(), time.process_time())

    def count_up(result: WriteSummary, seconds: float) -> None:
        nonlocal done, last
        applied(result, seconds)
        done += result.events + result.duplicates
        if done - last[0] >= every or done >= count:
            now = (done, time.monotonic(), time.process_time())
            events = done - last[0]
            samples.append([done, events / (now[1] - last[1]), 1e6 * (now[2] - last[2]) / events, _rss()])
            last = now
        if done >= count:
            stop.set()

    service.health.applied = count_up  # type: ignore[assignment, method-assign]
    service.run(stop)
    say(samples=samples)


def _rss() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
