"""Read a topic without a consumer group and without commits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import typer
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stumble.kafka.errors import kafka_error
from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry
from stumble.wire.codec import Decoder
from stumble.wire.errors import RegistryUnavailable, StumbleError, WireError
from stumble.wire.kafka_record import headers_of
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME, EVENT, PRODUCER_STATUS, Schema
from stumble.wire.topics import Topics

#: Short names of the topics, and the schemas of their records.
KINDS: Mapping[str, Schema] = {
    "actions": EVENT,
    "failures": ACTION_FAILED,
    "outcomes": ACTION_OUTCOME,
    "producers": PRODUCER_STATUS,
    "dlq": EVENT,
}
_SECONDS = 10.0
_POLL_SECONDS = 0.2
_BATCH = 500
# librdkafka would write to stderr by itself; what matters is raised as an error.
_QUIET = logging.getLogger("stumble.tail.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


@dataclass(frozen=True, slots=True)
class Read:
    """One record of a topic, decoded if possible."""

    partition: int
    offset: int
    timestamp: int
    key: str
    headers: dict[str, str]
    record: dict[str, Any] | None
    error: str | None
    value: bytes


def resolve(name: str, topics: Topics) -> tuple[str, Schema]:
    """Return topic and schema of a short or full name; raises `StumbleError` for any other."""
    known = {getattr(topics, kind): kind for kind in KINDS}
    kind = name if name in KINDS else known.get(name)
    if kind is None:
        raise StumbleError(f"{name} is not a topic of stumble; give {', '.join(KINDS)} or {', '.join(known)}.")
    return getattr(topics, kind), KINDS[kind]


class Reader:
    """Reads all partitions of one topic from a start offset or time on."""

    def __init__(self, settings: KafkaSettings, topic: str, schema: Schema) -> None:
        config = settings.consumer_config("stumble-tail")
        # Reading a topic must not create it.
        config |= {"enable.partition.eof": True, "allow.auto.create.topics": False, "log_level": 0}
        self._consumer = Consumer(config, logger=_QUIET)
        self._kafka = settings
        self._topic = topic
        registry = Registry(settings) if settings.schema_registry_url else None
        self._decoder = Decoder(schema, registry.resolve if registry else None)

    def start(self, at: datetime | str) -> None:
        """Start at the `beginning`, at the `end` or at a time."""
        result = self._consumer.list_topics(self._topic, timeout=_SECONDS).topics[self._topic]
        if result.error:
            raise kafka_error(self._kafka, self._topic, KafkaException(result.error))
        offsets = {"beginning": OFFSET_BEGINNING, "end": OFFSET_END}
        if isinstance(at, datetime):
            milliseconds = int(at.timestamp() * 1000)
            times = [TopicPartition(self._topic, number, milliseconds) for number in result.partitions]
            start = self._consumer.offsets_for_times(times, timeout=_SECONDS)
        else:
            start = [TopicPartition(self._topic, number, offsets[at]) for number in result.partitions]
        self._partitions = set(result.partitions)
        self._consumer.assign(start)

    def read(self, *, to_end: bool) -> Iterator[Read]:
        """Yield records as they arrive; with `to_end`, stop once every partition's end has been reached."""
        open_ = set(self._partitions)
        while not to_end or open_:
            for message in self._consumer.consume(_BATCH, _POLL_SECONDS):
                error = message.error()
                if error is None:
                    yield self._decoded(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_.discard(message.partition())
                elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                    raise StumbleError(
                        f"The next record of partition {message.partition()} of {self._topic} was deleted: start again "
                        "from the beginning or from a later time.",
                    )
                elif not error.retriable():
                    raise KafkaException(error)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _decoded(self, message: Message) -> Read:
        headers = [(name, _bytes(value)) for name, value in dict(headers_of(message) or ()).items()]
        value = message.value() or b""
        record, error, is_waiting = None, None, False
        while True:
            try:
                record = self._decoder.decode(value, headers)
            except RegistryUnavailable as cause:
                if not is_waiting:
                    typer.echo(f"{cause} The command waits for the registry.", err=True)
                is_waiting = True
                time.sleep(1)  # the record may be good: retry until the registry answers
                continue
            except WireError as cause:
                error = str(cause)
            break
        return Read(
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            timestamp=message.timestamp()[1],
            key=_text(message.key()),
            headers={name: _text(value) for name, value in headers},
            record=record,
            error=error,
            value=value,
        )


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
