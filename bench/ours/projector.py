"""The projector on a topic that is already there: everything it does in a transaction, until the topic is stored."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from bench.ours.common import Clock
from stumble.projector.loop import Projector
from stumble.projector.settings import ProjectorSettings
from stumble.settings.base import load

if TYPE_CHECKING:
    from confluent_kafka import Message

    from stumble.ingest.transaction import WriteSummary


def main(count: int) -> None:
    """Project `count` records of the topic that the environment names."""
    projector = Projector(load(), ProjectorSettings())
    stop, clock, done = threading.Event(), Clock(), 0
    poll, applied = projector._source.poll, projector.health.applied

    def first(limit: int, timeout: float) -> list[Message]:
        messages = poll(limit, timeout)
        if messages:
            clock.start()
        return messages

    def count_up(result: WriteSummary, seconds: float) -> None:
        nonlocal done
        applied(result, seconds)
        done += result.events + result.duplicates
        if done >= count:
            clock.report(done)
            stop.set()

    projector._source.poll = first  # type: ignore[method-assign]
    projector.health.applied = count_up  # type: ignore[assignment, method-assign]
    projector.run(stop)


if __name__ == "__main__":
    main(int(sys.argv[1]))
