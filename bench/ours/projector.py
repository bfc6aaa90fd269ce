"""The projector on an existing topic, with all that it does in a transaction, until the topic is stored."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from bench.ours.common import Clock
from stumble.projector.build import build_projector
from stumble.projector.settings import ProjectorSettings
from stumble.settings.base import load_settings

if TYPE_CHECKING:
    from confluent_kafka import Message

    from stumble.ingest.transaction import WriteSummary


def main(count: int) -> None:
    """Project `count` records of the topic that the environment names."""
    service = build_projector(load_settings(), ProjectorSettings())
    stop, clock, done = threading.Event(), Clock(), 0
    poll, applied = service.projector._consumer.poll, service.health.applied

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

    service.projector._consumer.poll = first  # type: ignore[method-assign]
    service.health.applied = count_up  # type: ignore[assignment, method-assign]
    service.run(stop)


if __name__ == "__main__":
    main(int(sys.argv[1]))
