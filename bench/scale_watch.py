"""A steady stream into every partition, and a watch of the store's progress in each of them."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import psycopg
from confluent_kafka import Producer

from stumble.wire.codec import encode_record, frame_single_object
from stumble.wire.headers import record_headers
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import EVENT


class Feed(threading.Thread):
    """Sends `rate` events per second, of many instances, until ended."""

    def __init__(self, bootstrap: str, topic: str, rate: float) -> None:
        super().__init__(name="feed", daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "linger.ms": 5,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._rate = rate
        self._ending = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send."""
        rng = Random(1)  # noqa: S311  # no secret
        instances = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(600)]
        began = time.monotonic()
        while not self._ending.wait(0.005):
            while self.sent < (time.monotonic() - began) * self._rate:
                self._send(rng.choice(instances))
            self._producer.poll(0)
        self._producer.flush(60)

    def _send(self, instance: str) -> None:
        now, event_id = time.time_ns() // 1000, new_event_id()
        event = {
            "event_id": event_id,
            "occurred_at": now,
            "emitted_at": now,
            "phase": "START",
            "scope": "REQUEST",
            "action": "reboot",
            "instance_uuid": instance,
            "request_id": f"req-{uuid.uuid4()}",
            "source": {"kind": "LIBRARY", "publisher": "bench", "signal": "request"},
        }
        value = frame_single_object(EVENT, encode_record(EVENT, event))
        headers = record_headers(EVENT, "bench", event_id, now)
        self._producer.produce(self._topic, value=value, key=instance.encode(), headers=headers)  # type: ignore[arg-type]
        self.sent += 1

    def end(self) -> None:
        """Stop sending; wait until Kafka has acknowledged all events."""
        self._ending.set()
        self.join(90)


@dataclass
class Watch(threading.Thread):
    """Records when the store's offset of each partition changes; queries it `every` so many seconds."""

    url: str
    every: float = 0.02
    #: By partition: monotonic times at which a query returned a new offset.
    moves: dict[int, list[float]] = field(default_factory=dict)
    offsets: dict[int, int] = field(default_factory=dict)
    #: Monotonic time, and how many events all partitions together had stored since the previous one.
    steps: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(name="watch", daemon=True)
        self._ending = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Query the offsets; connect again when the database was unavailable."""
        connection: psycopg.Connection[tuple[int, int]] | None = None
        while not self._ending.wait(self.every):
            try:
                connection = connection or psycopg.connect(self.url, autocommit=True, connect_timeout=2)
                rows = connection.execute(
                    "select kafka_partition, next_offset from stumble_durable.offsets"
                    " where topic like '%instance-actions'"
                ).fetchall()
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
                continue
            self._note(time.monotonic(), rows)
        if connection is not None:
            connection.close()

    def _note(self, now: float, rows: list[tuple[int, int]]) -> None:
        moved = 0
        for partition, offset in rows:
            before = self.offsets.get(partition)
            if before != offset:
                moved += offset - (before or 0)
                self.offsets[partition] = offset
                self.moves.setdefault(partition, []).append(now)
        if moved:
            self.steps.append((now, moved))

    def end(self) -> None:
        """Stop the queries."""
        self._ending.set()
        self.join(10)

    def rate(self, count: int) -> float:
        """Return events per second of `count`, from the first commit, which is left out, to the last."""
        (began, before), ended = self.steps[0], self.steps[-1][0]
        return (count - before) / (ended - began)

    def gaps(self, begin: float, end: float) -> dict[int, float]:
        """Return the longest time without progress of each partition, between two times."""
        found = {}
        for partition, moves in self.moves.items():
            before = max((move for move in moves if move <= begin), default=begin)
            times = [before, *(move for move in moves if begin < move <= end)]
            if times[-1] < end - 1.0:
                times.append(end)  # still no progress
            found[partition] = max((late - early for early, late in pairwise(times)), default=0.0)
        return found

    def first_after(self, moment: float, *, every: bool) -> float | None:
        """Return the seconds from `moment` until one partition (or each) made progress; None if none has yet."""
        firsts = [next((move for move in moves if move > moment), None) for moves in list(self.moves.values())]
        known = [move for move in firsts if move is not None]
        if not known or (every and len(known) < len(firsts)):
            return None
        return (max(known) if every else min(known)) - moment
