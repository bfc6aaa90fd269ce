"""Poison: invalid records, which no producer of stumble writes, sent to Kafka without the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING, Any

from stumble.wire.codec import encode_record, frame_single_object
from stumble.wire.headers import record_headers
from stumble.wire.schemas import EVENT

if TYPE_CHECKING:
    from confluent_kafka import Producer

    from stumble.settings.kafka import KafkaSettings


def bad_values(event: dict[str, Any], seed: int) -> Iterator[bytes]:
    """Yield bad record values without end, cycling through the kinds, made from a valid event."""
    rng = Random(seed)  # noqa: S311 -- simulation, no secret
    body = encode_record(EVENT, event)
    kinds = cycle(range(5))
    for kind in kinds:
        noise = rng.randbytes(24)
        yield (
            b"\x7b" + noise,
            b"\xc3\x01" + noise[:8] + body,
            frame_single_object(EVENT, body[: len(body) // 2]),
            frame_single_object(EVENT, body + noise),
            b"",
        )[kind]


class Poisoner:
    """Sends bad records to the topic.

    `every` is the number of good events between two bad records.
    """

    def __init__(self, settings: KafkaSettings, every: int, seed: int) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415 -- only this option needs a Kafka client

        self._producer: Producer = Producer(settings.producer_config())
        self._topic = settings.topics.actions
        self._every = every
        self._seed = seed
        self._seen = 0
        self._values: Iterator[bytes] | None = None
        self.sent = 0

    def after(self, event: dict[str, Any]) -> None:
        """Count one good event; send a bad record after every `every` good ones."""
        self._seen += 1
        if self._seen % self._every:
            return
        if self._values is None:
            self._values = bad_values(event, self._seed)
        key = str(event.get("instance_uuid") or event["request_id"]).encode()
        headers: list[tuple[str, str | bytes | None]] = [
            *record_headers(EVENT, "simulator", event["event_id"], event["occurred_at"])
        ]
        self._producer.produce(self._topic, value=next(self._values), key=key, headers=headers)
        self._producer.poll(0)
        self.sent += 1

    def close(self) -> int:
        """Wait up to 30 s for Kafka's acknowledgements; return the number of unacknowledged records."""
        return self._producer.flush(30)
