"""Call `emit` repeatedly, encoding included; print the time of each call in ns."""

from __future__ import annotations

import sys
import time

from bench.ours.common import say
from bench.stream import events, whole
from stumble.emitter import Emitter


def main(outbox: str, count: int, pause: float) -> None:
    """Emit `count` events of the benchmark stream with `pause` seconds between calls."""
    told = list(whole(events(success=False, count=count)))
    emitter = Emitter(outbox, service="bench", host="bench")
    taken = []
    for event in told:
        begin = time.perf_counter_ns()
        accepted = emitter.emit(event)
        taken.append(time.perf_counter_ns() - begin)
        if not accepted:
            raise SystemExit("the outbox refused an event")
        if pause:
            time.sleep(pause)
    say(nanoseconds=taken)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
