"""Writes no second dead letter of a record: a process may end between writing the first and moving its offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stumble.deadletters.dead_letter import RecordOrigin
from stumble.deadletters.producer import DeadLetterProducer
from stumble.deadletters.reader import DeadLetterTopic, KafkaUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stumble.deadletters.producer import RecordKey
    from stumble.ingest.batch import BadRecord
    from stumble.settings.kafka import KafkaSettings

#: How many of the newest dead letters of each partition are compared.
_NEWEST = 1000
_SECONDS = 3.0


class UniqueDeadLetterProducer(DeadLetterProducer):
    """Compares the first bad records of each partition with the newest dead letters, once after the process started."""

    def __init__(self, kafka: KafkaSettings, group: str, note: Callable[[bool], None] = lambda _: None) -> None:
        super().__init__(kafka, group, note)
        self._kafka = kafka
        self._compared: set[int] = set()

    def _deliver(self, items: Mapping[RecordKey, BadRecord]) -> None:
        """Do what `DeadLetterProducer` does; a record that has a dead letter counts as delivered."""
        known = self._known(items)
        with self._lock:
            self._delivered |= known
        super()._deliver({key: item for key, item in items.items() if key not in known})

    def _known(self, items: Mapping[RecordKey, BadRecord]) -> set[RecordKey]:
        """Return the records that have a dead letter; none if the dead letter topic cannot be read."""
        fresh = {item.partition for item in items.values()} - self._compared
        if not fresh:
            return set()
        try:
            with DeadLetterTopic(self._kafka, seconds=_SECONDS, group=self._group) as topic:
                origins = {dead_letter.origin for chunk in topic.newest(_NEWEST) for dead_letter in chunk}
        except KafkaUnavailableError:
            return set()
        self._compared |= fresh
        return {key for key, item in items.items() if item.partition in fresh and _origin_of(item) in origins}


def _origin_of(item: BadRecord) -> RecordOrigin:
    timestamp = item.record.timestamp()[1]
    topic = item.record.topic() or ""
    return RecordOrigin(topic, item.partition, item.offset, timestamp if timestamp >= 0 else None)
