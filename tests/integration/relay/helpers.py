"""A relay as a process, emitters, and a consumer that reads a topic to its end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from stumble.emitter import Emitter
from stumble.wire.codec import Decoder
from stumble.wire.schemas import EVENT
from tests.support.messages import headers_of, value_of
from tests.support.services import cli_environment


def environment(kafka: str, prefix: str, **extra: str) -> dict[str, str]:
    return cli_environment(
        STUMBLE_KAFKA__BOOTSTRAP_SERVERS=kafka,
        STUMBLE_KAFKA__TOPIC_PREFIX=prefix,
        **{"STUMBLE_LOG_FORMAT": "json", "STUMBLE_RELAY_HOSTS": "cmp1"} | extra,
    )


class RelayProcess:
    """``stumble relay`` with its log in a file."""

    def __init__(self, outbox: Path, kafka: str, prefix: str, *options: str, **env: str) -> None:
        self.log = Path(tempfile.mkdtemp(prefix="stumble-relay-")) / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stumble.cli", "relay", "--outbox-dir", str(outbox), *options],
                env=environment(kafka, prefix, **env),
                stdout=log,
                stderr=log,
            )

    def kill(self, number: int = signal.SIGKILL) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(90)

    def text(self) -> str:
        return self.log.read_text()


@contextmanager
def running_relay(outbox: Path, kafka: str, prefix: str, *options: str, **env: str) -> Iterator[RelayProcess]:
    relay = RelayProcess(outbox, kafka, prefix, *options, **env)
    try:
        yield relay
    finally:
        relay.kill()
        shutil.rmtree(relay.log.parent)


def emitter(outbox: Path, **options: Any) -> Emitter:
    return Emitter(outbox, **{"service": "nova-compute", "host": "cmp1", "cell": "cell1"} | options)


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "phase": "START",
        "scope": "STEP",
        "instance_uuid": str(uuid.UUID(int=number % 50 + 1)),
        "action": "resize",
        "request_id": f"req-{number}",
        "attributes": {"n": str(number)},
        **fields,
    }


def drain(kafka: str, topic: str, until: Callable[[list[Message]], bool], timeout: float = 90) -> list[Message]:
    """Read a topic from its start until the predicate holds."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
    messages: list[Message] = []
    try:
        partitions = consumer.list_topics(topic, 60).topics[topic].partitions
        assert partitions, f"there is no topic {topic}"  # otherwise nothing is read, which looks like a silent relay
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        deadline = time.monotonic() + timeout
        while not until(messages):
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(messages)} records of {topic} do not fulfil the condition")
            for message in consumer.consume(500, 0.2):
                error = message.error()
                assert error is None or error.code() == KafkaError._PARTITION_EOF, error
                messages.append(message)
    finally:
        consumer.close()
    return messages


def numbers(messages: list[Message]) -> list[int]:
    decoder = Decoder(EVENT)
    return [int(decoder.decode(value_of(m), headers_of(m))["attributes"]["n"]) for m in messages]


def wait_for(condition: Callable[[], bool], timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("condition not met in time")
        time.sleep(0.05)
