"""Reads the dead letter topic from a position to its current end, in chunks that fit in memory."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from stumble.deadletters.dead_letter import DeadLetter, RecordId, dead_letter_of
from stumble.kafka.errors import kafka_error
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from confluent_kafka import Message

    from stumble.settings.kafka import KafkaSettings

#: Most dead letters in a chunk, and most KiB; the topic's largest record may exceed the latter.
_CHUNK = 200
_CHUNK_KBYTES = 8192
_SECONDS = 10.0
_POLL_SECONDS = 0.5
# librdkafka writes to stderr by default; relevant errors are raised.
_QUIET = logging.getLogger("stumble.deadletters.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class KafkaUnavailableError(StumbleError):
    """Kafka does not answer, has no such topic, or does not allow access to it."""


class DeadLetterTopic:
    """The topic as it is now: `bounds` are the first offset and the next one, by partition.

    It commits nothing and joins no group; `group` is only a name. Use it in a ``with`` block. Raises
    `KafkaUnavailableError` if Kafka does not answer.
    """

    def __init__(self, kafka: KafkaSettings, *, seconds: float = _SECONDS, group: str = "stumble-dlq") -> None:
        self.name = kafka.topics.dlq
        self._kafka = kafka
        self._seconds = seconds
        own = {
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "queued.max.messages.kbytes": _CHUNK_KBYTES,
            "fetch.queue.backoff.ms": 10,
            "log_level": 0,
        }
        self._consumer = Consumer(kafka.consumer_config(group) | own, logger=_QUIET)
        try:
            self._describe(kafka)
        except KafkaException as error:
            self._consumer.close()
            raise self._unavailable(self.name, error) from error
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def __len__(self) -> int:
        """Return how many records it holds at most: compaction and transactions leave gaps."""
        return sum(high - low for low, high in self.bounds.values())

    def partitions_of(self, topic: str) -> int:
        """Return how many partitions a topic has; raises `KafkaUnavailableError` if there is none."""
        try:
            result = self._consumer.list_topics(topic, timeout=self._seconds).topics[topic]
        except KafkaException as error:
            raise self._unavailable(topic, error) from error
        if result.error:
            raise self._unavailable(topic, KafkaException(result.error))
        return len(result.partitions)

    def chunks(self, start: RecordId | None = None, since: datetime | None = None) -> Iterator[list[DeadLetter]]:
        """Yield the dead letters of one partition after the other, in order, from `start` (or after `since`) on."""
        try:
            begin = self._begin(since)
            for partition, (low, high) in sorted(self.bounds.items()):
                first = max(low, begin.get(partition, low))
                if start is not None and partition <= start.partition:
                    if partition < start.partition:
                        continue
                    first = max(first, start.offset)
                if first < high:
                    yield from self._partition(partition, first, high)
        except KafkaException as error:
            raise self._unavailable(self.name, error) from error

    def newest(self, count: int) -> Iterator[list[DeadLetter]]:
        """Yield the last `count` dead letters of each partition, one partition after the other, in order."""
        try:
            for partition, (low, high) in sorted(self.bounds.items()):
                if low < high:
                    yield from self._partition(partition, max(low, high - count), high)
        except KafkaException as error:
            raise self._unavailable(self.name, error) from error

    def _partition(self, partition: int, first: int, high: int) -> Iterator[list[DeadLetter]]:
        self._consumer.assign([TopicPartition(self.name, partition, first)])
        ended, answered_at = False, time.monotonic()
        while not ended:
            chunk: list[DeadLetter] = []
            messages = self._consumer.consume(_CHUNK, _POLL_SECONDS)
            if messages:
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at > self._seconds:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
            for message in messages:
                if message.error() is not None:
                    ended = ended or self._ends(message, partition)
                elif (message.offset() or 0) < high:
                    chunk.append(dead_letter_of(message))
                    ended = message.offset() == high - 1
                else:
                    ended = True
            if chunk:
                yield chunk
        self._consumer.unassign()

    def _ends(self, message: Message, partition: int) -> bool:
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            # Retention has deleted the next records; continue with the oldest one left.
            low, _ = self._consumer.get_watermark_offsets(TopicPartition(self.name, partition), timeout=self._seconds)
            self._consumer.assign([TopicPartition(self.name, partition, low)])
        elif not error.retriable():
            raise KafkaException(error)
        return False

    def _begin(self, since: datetime | None) -> dict[int, int]:
        timestamp = int(since.timestamp() * 1000) if since is not None else -1
        if timestamp < 0:  # Kafka gives negative values another meaning
            return {}
        asked = [TopicPartition(self.name, partition, timestamp) for partition in self.bounds]
        result = self._consumer.offsets_for_times(asked, timeout=self._seconds)
        # No record since that time: start at the end.
        return {item.partition: item.offset if item.offset >= 0 else self.bounds[item.partition][1] for item in result}

    def _describe(self, kafka: KafkaSettings) -> None:
        count = self.partitions_of(self.name)
        admin = AdminClient({**kafka.client_config(), "log_level": 0})
        answers = admin.describe_topics(TopicCollection([self.name]), request_timeout=self._seconds)
        self.topic_id = str(answers[self.name].result().topic_id)
        self.bounds: dict[int, tuple[int, int]] = {}
        for partition in range(count):
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(self.name, partition), timeout=self._seconds
            )
            self.bounds[partition] = (low, high)

    def _unavailable(self, topic: str, error: KafkaException) -> KafkaUnavailableError:
        return KafkaUnavailableError(str(kafka_error(self._kafka, topic, error)))
