"""Writes records that cannot be stored to the dead letter topic, byte for byte, with headers that give the reason.

The headers have Kafka Connect's suffixes and stumble's own prefix. A record is dead-lettered before its offset moves,
so it is never lost; `UniqueDeadLetterProducer` does not write it again after a crash.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stumble.wire import codec
from stumble.wire.errors import NotAvro
from stumble.wire.kafka_record import headers_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from confluent_kafka import Message

    from stumble.ingest.batch import BadRecord
    from stumble.settings.kafka import KafkaSettings
    from stumble.wire.headers import Header

PREFIX = "__stumble.errors."
FIRST_SEEN = PREFIX + "first.seen"
REPLAYS = PREFIX + "replays"
#: In a dead letter without the headers of its original record: why they are missing.
UNREADABLE_HEADERS = PREFIX + "headers.unreadable"
#: A record and its headers are larger than the record was.
MAX_MESSAGE_BYTES = 16 << 20
_DELIVERY_SECONDS = 10.0
_MESSAGE_CHARACTERS = 1024


class DeadLetterProducer:
    """Sends bad records to the dead letter topic and waits until the broker has them."""

    def __init__(self, kafka: KafkaSettings, group: str) -> None:
        self._topic = kafka.topics.dlq
        self._group = group
        self._config = {
            "log_level": 2,
            **kafka.producer_config(
                linger_ms=0, message_max_bytes=MAX_MESSAGE_BYTES, message_timeout_ms=int(_DELIVERY_SECONDS * 1000)
            ),
        }
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def send(self, bad: Iterable[BadRecord]) -> dict[tuple[int, int], str]:
        """Send records; return the reason, by partition and offset, for each that the broker did not accept."""
        undelivered: dict[tuple[int, int], str] = {}
        sent = list(bad)
        if not sent:
            return undelivered
        with self._lock:
            producer = self._producer = self._producer or Producer(self._config)
        for item in sent:
            record_id = (item.partition, item.offset)
            undelivered[record_id] = "no answer from the broker"
            self._produce(producer, item, undelivered)
        producer.flush(_DELIVERY_SECONDS + 2)
        failed = dict(undelivered)
        if failed:
            # The next attempt uses a new producer, because the topic may have been created again.
            producer.purge()
            producer.flush(1)
            self._producer = None
        return failed

    def _produce(self, producer: Producer, item: BadRecord, undelivered: dict[tuple[int, int], str]) -> None:
        record_id = (item.partition, item.offset)

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                undelivered.pop(record_id, None)
            else:
                undelivered[record_id] = error.str()

        try:
            producer.produce(
                self._topic,
                value=item.record.value(),
                key=item.record.key(),
                headers=list(dead_letter_headers(item, self._group)),
                on_delivery=delivered,
            )
        except (BufferError, KafkaException) as error:
            undelivered[record_id] = str(error)


class DeadLetterCount:
    """Counts the records in the dead letter topic, also those of other programs."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = kafka.topics.dlq
        self._admin = AdminClient({**kafka.client_config(), "log_level": 2})

    def records(self) -> int | None:
        """Return how many records it holds; None if the broker does not answer or has no such topic."""
        try:
            result = self._admin.list_topics(self._topic, timeout=_DELIVERY_SECONDS).topics[self._topic]
            if result.error:
                return None
            partitions = [TopicPartition(self._topic, partition) for partition in result.partitions]
            ends = self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
            begins = self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        except KafkaException:
            return None
        return max(0, ends - begins)

    def _offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> int:
        futures = self._admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=_DELIVERY_SECONDS)
        return sum(future.result().offset for future in futures.values())


def dead_letter_headers(item: BadRecord, group: str) -> list[Header]:
    """Return a bad record's own headers, unchanged, and stumble's after them; without its own if none can be read."""
    own = headers_of(item.record)
    given = own or []
    earlier = {name: value for name, value in given if name in (FIRST_SEEN, REPLAYS)}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    cause = item.error.cause
    added: list[Header] = [
        (PREFIX + "topic", (item.record.topic() or "").encode()),
        (PREFIX + "partition", str(item.partition).encode()),
        (PREFIX + "offset", str(item.offset).encode()),
        (PREFIX + "timestamp", str(item.record.timestamp()[1]).encode()),
        (PREFIX + "group", group.encode()),
        (PREFIX + "stage", item.error.stage.encode()),
        (PREFIX + "exception.class.name", f"{type(cause).__module__}.{type(cause).__qualname__}".encode()),
        (PREFIX + "exception.message", str(cause)[:_MESSAGE_CHARACTERS].encode("utf-8", "replace")),
        (PREFIX + "schema", _schema(item.record.value(), given).encode()),
        (FIRST_SEEN, earlier.get(FIRST_SEEN) or now.encode()),
        (REPLAYS, earlier.get(REPLAYS) or b"0"),
    ]
    if own is None:
        added.append((UNREADABLE_HEADERS, b"the name of a header is not UTF-8"))
    return [header for header in given if not header[0].startswith(PREFIX)] + added


def _schema(value: bytes | None, headers: list[Header]) -> str:
    """Return the schema that a record claims: its fingerprint or registry id; ``none`` without one."""
    try:
        framed = codec.unframe(value or b"", headers)
    except NotAvro:
        return "none"
    if framed.fingerprint is not None:
        return f"fingerprint:{framed.fingerprint.hex()}"
    return f"id:{framed.schema_id}"
