"""The part of a topic that is read: the first and last offset of each partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from stumble.kafka.consumer import quiet_config
from stumble.kafka.errors import kafka_error
from stumble.store.partitions import first_id_at

if TYPE_CHECKING:
    from datetime import datetime

    from stumble.settings.kafka import KafkaSettings

_SECONDS = 15.0


@dataclass(slots=True)
class OffsetRange:
    """From which offset (inclusive) to which (exclusive) each partition is read. `topic_id` is Kafka's own."""

    topic: str
    topic_id: str
    starts: dict[int, int]
    ends: dict[int, int]
    #: The oldest offsets that the topic still has.
    lows: dict[int, int]
    #: When a partition's topic was truncated or created again (microseconds): what the store read before has offsets of
    #: another topic.
    breaks: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(max(0, end - self.starts[partition]) for partition, end in self.ends.items())

    def holds(self, partition: int, offset: int) -> bool:
        """Return whether a record is inside."""
        return self.starts.get(partition, 0) <= offset < self.ends.get(partition, 0)

    def is_older(self, partition: int, event_us: int) -> bool:
        """Return whether an event is from before its partition's topic was truncated or created again."""
        return event_us < self.breaks.get(partition, 0)

    def as_parameters(self) -> dict[str, list[Any]]:
        """Return the range as parameters of statements; ``firsts``: the first event id since a partition's break."""
        order = sorted(self.ends)
        return {
            "partitions": order,
            "starts": [self.starts[p] for p in order],
            "ends": [self.ends[p] for p in order],
            "firsts": [first_id_at(self.breaks.get(p, 0) // 1000) for p in order],
        }

    def shared(self, shares: int) -> list[OffsetRange]:
        """Divide the partitions into `shares` ranges of about equal length; some are empty if there are too few."""
        parts: list[list[int]] = [[] for _ in range(shares)]
        sizes = [0] * shares
        length = {partition: end - self.starts[partition] for partition, end in self.ends.items()}
        for partition in sorted(length, key=lambda p: (-length[p], p)):
            least = min(range(shares), key=sizes.__getitem__)
            parts[least].append(partition)
            sizes[least] += length[partition]
        return [
            OffsetRange(
                self.topic,
                self.topic_id,
                {partition: self.starts[partition] for partition in part},
                {partition: self.ends[partition] for partition in part},
                self.lows,
                self.breaks,
            )
            for part in parts
        ]

    def rest(self, ends: dict[int, int]) -> OffsetRange:
        """Return the range from these ends to other, later ends, of the partitions that have one."""
        later = {partition: max(self.ends.get(partition, 0), end) for partition, end in ends.items()}
        starts = {partition: self.ends.get(partition, self.lows.get(partition, 0)) for partition in later}
        return OffsetRange(self.topic, self.topic_id, starts, later, self.lows, self.breaks)


def range_of(
    kafka: KafkaSettings, topic: str, since: datetime | None = None, until: datetime | None = None
) -> OffsetRange:
    """Ask the brokers for the first and last offsets of a topic, or for those at given times (Kafka's record times).

    Raises `StumbleError` when the topic does not exist or no broker answers.
    """
    consumer = Consumer(quiet_config(kafka.consumer_config("stumble-audit")))
    try:
        topic_id, partitions = _described(kafka, topic)
        marks = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=_SECONDS) for p in partitions}
        lows, ends = ({p: int(mark[side]) for p, mark in marks.items()} for side in (0, 1))
        starts = _at(consumer, topic, since, ends) if since else dict(lows)
        if until:
            ends = _at(consumer, topic, until, ends)
        starts = {p: max(lows[p], starts[p]) for p in partitions}
        return OffsetRange(topic, topic_id, starts, {p: max(starts[p], ends[p]) for p in partitions}, lows)
    except KafkaException as error:
        raise kafka_error(kafka, topic, error) from error
    finally:
        consumer.close()


def _described(kafka: KafkaSettings, topic: str) -> tuple[str, list[int]]:
    client = AdminClient(quiet_config(kafka.client_config()))  # futures complete only while their client exists
    answer = client.describe_topics(TopicCollection([topic]), request_timeout=_SECONDS)[topic].result()
    return str(answer.topic_id), sorted(partition.id for partition in answer.partitions)


def _at(consumer: Consumer, topic: str, time: datetime, ends: dict[int, int]) -> dict[int, int]:
    """Return the first offset of each partition at or after a time; the end where there is none."""
    wanted = [TopicPartition(topic, partition, int(time.timestamp() * 1000)) for partition in ends]
    result = consumer.offsets_for_times(wanted, timeout=_SECONDS)
    return {one.partition: one.offset if one.offset >= 0 else ends[one.partition] for one in result}
