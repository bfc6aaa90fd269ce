"""Bad records, sent directly to the topic; each must be in the dead-letter topic, byte for byte."""

from __future__ import annotations

import struct
from itertools import islice

from confluent_kafka import KafkaError, Message, Producer

from stumble.simulator.poison import bad_values
from stumble.wire.topics import Topics
from tests.chaos.fleet import Plan, planned_events
from tests.chaos.reading import read_topics
from tests.support.raw_headers import produce_with_header

_UNKNOWN_ID = 987_654


class Poisoner:
    """Sends bad records; ``sent`` maps (partition, offset) to the value, for records that the broker accepted."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        self._bootstrap = bootstrap
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "log_level": 0,
             "message.timeout.ms": 0, "reconnect.backoff.max.ms": 1000}
        )  # fmt: skip
        event = next(iter(planned_events(Plan(seed, 1_790_000_000_000_000, 5, 5)))).event
        self._values = bad_values(event, seed)
        self._count = 0
        self.sent: dict[tuple[int, int], bytes] = {}

    def send(self, count: int) -> None:
        """Send `count` bad records, and one with a schema id that no registry knows."""
        for value in [*islice(self._values, count), b"\0" + struct.pack(">I", _UNKNOWN_ID) + b"\x02\x00"]:
            self._count += 1
            self._producer.produce(
                Topics("").actions, value=value, key=f"poison-{self._count}", on_delivery=self._delivered
            )
        self.poll()

    def send_unreadable_header(self) -> None:
        """Send a bad record that has a header whose name is not UTF-8, and wait until the broker has it."""
        topic, value = Topics("").actions, b"bad record with a header that clients cannot read"
        produce_with_header(self._bootstrap, topic, 0, value, (b"\xff\xfe", b"x"))
        sent = [one for one in read_topics(self._bootstrap, [topic]) if one.value() == value]
        self.sent |= {(one.partition() or 0, one.offset() or 0): value for one in sent}

    def poll(self) -> None:
        self._producer.poll(0)

    def flush(self) -> int:
        """Wait until the broker has all records; return how many it has not accepted."""
        return int(self._producer.flush(30))

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        self.sent[message.partition() or 0, message.offset() or 0] = message.value() or b""
