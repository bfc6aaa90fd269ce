"""Writes records that cannot be stored to the dead letter topic, byte for byte, with headers that give the reason.

The headers have Kafka Connect's suffixes and stumble's own prefix. A record is dead-lettered before its offset moves,
so it is never lost; `UniqueDeadLetterProducer` does not write it again after a crash.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stumble.kafka.consumer import EARLIEST, LATEST, list_offsets
from stumble.wire import codec
from stumble.wire.errors import NotAvro
from stumble.wire.kafka_record import headers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
#: A caller waits this long for the broker.
_PATIENCE_SECONDS = 5.0
_MESSAGE_CHARACTERS = 1024
#: Most records of which it is remembered that they were delivered.
_MOST_DELIVERED = 10_000
_FAULTS_OF_RECORDS = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.RECORD_LIST_TOO_LARGE)
#: Partition, offset and value: a topic that was created again has other records at the same offsets.
RecordKey = tuple[int, int, bytes | None]


class DeadLetterProducer:
    """Sends bad records to the dead letter topic and waits until the broker has them.

    While the topic does not accept records, callers do not wait: they get the last reason, and the record is sent in a
    thread of its own. A later call for the same record finds it delivered. ``note`` gets whether the topic accepts
    records.
    """

    def __init__(self, kafka: KafkaSettings, group: str, note: Callable[[bool], None] = lambda _: None) -> None:
        self._topic = kafka.topics.dlq
        self._group = group
        self._note = note
        self._config = {
            "log_level": 2,
            **kafka.producer_config(
                linger_ms=0, message_max_bytes=MAX_MESSAGE_BYTES, message_timeout_ms=int(_DELIVERY_SECONDS * 1000)
            ),
        }
        self._producer: Producer | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="dead-letters")
        self._lock = threading.Lock()
        self._attempt: Future[None] | None = None
        #: Records that the broker has accepted, until their caller knows.
        self._delivered: set[RecordKey] = set()
        #: Why records of the last attempt were not accepted.
        self._refusals: dict[RecordKey, str] = {}
        #: Why the topic accepts no record now; empty while it does.
        self._fault = ""

    def send(self, bad: Iterable[BadRecord]) -> dict[tuple[int, int], str]:
        """Send records; return the reason, by partition and offset, for each that the broker has not accepted."""
        items = {_key(item): item for item in bad}
        with self._lock:
            wanted = {key: item for key, item in items.items() if key not in self._delivered}
            attempt = self._attempt
            if wanted and (attempt is None or attempt.done() or not self._fault):
                attempt = self._attempt = self._executor.submit(self._deliver, wanted)
            patience = 0.0 if self._fault else _PATIENCE_SECONDS
        if wanted and attempt is not None:
            wait([attempt], patience)
        with self._lock:
            if wanted and attempt is not None:
                if attempt.done():
                    attempt.result()  # raises for a setting that the client refuses
                else:
                    self._set_fault(self._fault or "no answer from the broker")
            accepted = self._delivered & items.keys()
            self._delivered -= accepted
            missing = [key for key in items if key not in accepted]
            return {key[:2]: self._refusals.get(key) or self._fault or "no answer from the broker" for key in missing}

    def close(self) -> None:
        """Give up what was not delivered; it is sent again after a start."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if (producer := self._producer) is not None:
            producer.purge()

    def _deliver(self, items: Mapping[RecordKey, BadRecord]) -> None:
        producer = self._producer = self._producer or Producer(self._config)
        undelivered = dict.fromkeys(items, "no answer from the broker")
        of_records: set[RecordKey] = set()
        for key, item in items.items():
            self._produce(producer, key, item, undelivered, of_records)
        try:
            producer.flush(_DELIVERY_SECONDS + 2)
        except KafkaException as error:  # the client raises a fatal error here
            undelivered.update(dict.fromkeys(undelivered, error.args[0].str()))
        if undelivered:
            # The next attempt uses a new producer: the topic may have been created again, or an error be fatal.
            producer.purge()
            with suppress(KafkaException):
                producer.flush(1)
            self._producer = None
        with self._lock:
            if len(self._delivered) > _MOST_DELIVERED:
                self._delivered.clear()
            self._delivered.update(items.keys() - undelivered.keys())
            self._refusals = dict(undelivered)
            self._set_fault(next((text for key, text in undelivered.items() if key not in of_records), ""))

    def _set_fault(self, text: str) -> None:
        if bool(text) != bool(self._fault):
            self._note(not text)
        self._fault = text

    def _produce(
        self,
        producer: Producer,
        key: RecordKey,
        item: BadRecord,
        undelivered: dict[RecordKey, str],
        of_records: set[RecordKey],
    ) -> None:
        """Queue one record; its key stays in `undelivered`, and in `of_records` if the record itself is refused."""

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                undelivered.pop(key, None)
                return
            undelivered[key] = error.str()
            if error.code() in _FAULTS_OF_RECORDS:
                of_records.add(key)

        try:
            producer.produce(
                self._topic,
                value=item.record.value(),
                key=item.record.key(),
                headers=list(dead_letter_headers(item, self._group)),
                on_delivery=delivered,
            )
        except KafkaException as error:
            undelivered[key] = error.args[0].str()
            if error.args[0].code() in _FAULTS_OF_RECORDS:
                of_records.add(key)
        except BufferError as error:
            undelivered[key] = str(error)


def _key(item: BadRecord) -> RecordKey:
    return item.partition, item.offset, item.record.value()


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
            ends = list_offsets(self._admin, partitions, LATEST, _DELIVERY_SECONDS)
            begins = list_offsets(self._admin, partitions, EARLIEST, _DELIVERY_SECONDS)
        except KafkaException:
            return None
        return max(0, sum(ends.values()) - sum(begins.values()))


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
