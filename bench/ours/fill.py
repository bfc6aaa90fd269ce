"""Write the benchmark stream into an outbox, for the relay to send."""

from __future__ import annotations

import sys

from bench.ours.common import Clock
from bench.stream import events
from stumble.emitter import Emitter


def main(outbox: str, count: int) -> None:
    """Write `count` events."""
    emitter = Emitter(outbox, service="bench", host="bench", max_bytes=1 << 30)
    clock = Clock()
    clock.start()
    for event in events(success=False, count=count):
        if not emitter.emit(event):
            raise SystemExit("the outbox refused an event")
    clock.report(count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
