"""Asks the broker every two seconds where the assigned partitions end; its answers show that Kafka is available.

The consumer's own numbers are of its last fetch: while no broker answers, they stay as they were, and say nothing.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from stumble.runtime.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stumble.projector.health import ProjectorHealth

_INTERVAL_SECONDS = 2.0


class TopicEnds(Worker):
    """Knows the end of each assigned partition (next offset) while Kafka answers.

    ``ask`` returns the ends of partitions, None without an answer; it waits a few seconds at most.
    """

    def __init__(
        self, ask: Callable[[Iterable[int]], Mapping[int, int] | None], health: ProjectorHealth, log: logging.Logger
    ) -> None:
        super().__init__("topic ends", log)
        self._ask = ask
        self._health = health
        #: Without a partition, the topic's first one shows whether Kafka answers.
        self._partitions = frozenset([0])
        self._ends: Mapping[int, int] = {}
        #: When the last question that Kafka answered was asked, monotonic seconds.
        self.asked_at = float("-inf")

    def watch(self, partitions: Iterable[int]) -> None:
        """Set the assigned partitions; without any, those before show whether Kafka answers."""
        self._partitions = frozenset(partitions) or self._partitions

    def known(self) -> Mapping[int, int]:
        """Return the ends of the partitions; empty while they are not known, since Kafka does not answer."""
        return self._ends if self._health.ends_are_known else {}

    def run_once(self) -> float:
        """Ask once."""
        asked_at = time.monotonic()
        ends = self._ask(self._partitions)
        if ends is not None:
            self._ends, self.asked_at = ends, asked_at
            self._health.kafka_answered()
        return _INTERVAL_SECONDS
