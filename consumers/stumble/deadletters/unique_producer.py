"""Writes no second dead letter of a record: a process may end between writing the first and moving its offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stumble.deadletters.dead_letter import RecordOrigin
from stumble.deadletters.producer import DeadLetterProducer
from stumble.deadletters.reader import DeadLetterTopic, KafkaUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stumble.ingest.batch import BadRecord
    from stumble.settings.kafka import KafkaSettings

#: How many of the newest dead letters of each partition are compared.
_NEWEST = 1000
_SECONDS = 3.0


class UniqueDeadLetterProducer(DeadLetterProducer):
    """Compares the first bad records of each partition with the newest dead letters, once after the process started."""

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        super().__init__(kafka, group)
        self._kafka = kafka
        self._compared: set[int] = set()

    def send(self, bad: Iterable[BadRecord]) -> dict[tuple[int, int], str]:
        """Do what `DeadLetterProducer.send` does; a record that has a dead letter counts as sent."""
        return super().send(self._without_known(list(bad)))

    def _without_known(self, items: list[BadRecord]) -> list[BadRecord]:
        """Return the records that have no dead letter; all of them if the dead letter topic cannot be read."""
        fresh = {item.partition for item in items} - self._compared
        if not fresh:
            return items
        try:
            with DeadLetterTopic(self._kafka, seconds=_SECONDS) as topic:
                known = {dead_letter.origin for chunk in topic.newest(_NEWEST) for dead_letter in chunk}
        except KafkaUnavailableError:
            return items
        self._compared |= fresh
        return [item for item in items if item.partition not in fresh or _origin_of(item) not in known]


def _origin_of(item: BadRecord) -> RecordOrigin:
    timestamp = item.record.timestamp()[1]
    topic = item.record.topic() or ""
    return RecordOrigin(topic, item.partition, item.offset, timestamp if timestamp >= 0 else None)
