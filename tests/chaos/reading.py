"""A downstream system: ``python -m tests.chaos.reading BOOTSTRAP GROUP FILE TOPIC…``.

It writes each record to a file before it commits the offset: if it is killed, it may read some records twice.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stumble.wire.codec import Decoder
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME


def main(bootstrap: str, group: str, path: Path, topics: list[str]) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 2,
        }
    )
    consumer.subscribe(topics)
    while True:
        messages = [message for message in consumer.consume(200, 0.2) if message.error() is None]
        if not messages:
            continue
        os.write(log, b"".join(json.dumps(line(message)).encode() + b"\n" for message in messages))
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            print(f"not committed: {error}", file=sys.stderr, flush=True)


DECODERS = {True: Decoder(ACTION_FAILED), False: Decoder(ACTION_OUTCOME)}


def line(message: Message) -> dict[str, object]:
    """Return the fields of a published record that are compared."""
    value, headers = message.value(), message.headers()
    assert value is not None
    assert isinstance(headers, list)
    is_failure = str(message.topic()).endswith("failures")
    record = DECODERS[is_failure].decode(value, headers)  # type: ignore[arg-type]  # a list, always
    return {
        "kind": "failure" if is_failure else "outcome",
        "subject": record["failure_id" if is_failure else "request_key"],
        "revision": record["revision"],
        "status": record["status"],
        "replaced_by": record["replaced_by"],
        "outcome": record.get("outcome"),
        "exception": record.get("exception"),
        "content": content_of(record),
        "ce_id": next(text.decode() for name, text in headers if name == "ce_id" and isinstance(text, bytes)),
    }


def read_topics(bootstrap: str, topics: list[str]) -> Iterator[Message]:
    """Yield all records of the topics up to their current ends."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "auditor", "enable.auto.commit": False,
                         "enable.partition.eof": True})  # fmt: skip
    try:
        partitions = [
            TopicPartition(topic, number, 0)
            for topic in topics
            for number in consumer.list_topics(topic, 20).topics[topic].partitions
        ]
        consumer.assign(partitions)
        ended: set[tuple[str | None, int | None]] = set()
        while len(ended) < len(partitions):
            for message in consumer.consume(1000, 1.0):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # the client's public constant
                    ended.add((message.topic(), message.partition()))
    finally:
        consumer.close()


def content_of(record: dict[str, Any]) -> str:
    """Return a digest of a published record without the time at which it was published."""
    content = {name: value for name, value in record.items() if name != "published_at"}
    return blake2b(json.dumps(content, default=str, sort_keys=True).encode(), digest_size=16).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
