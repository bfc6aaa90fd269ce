"""The benchmark stream in Kafka, as the relay would have sent it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from confluent_kafka import Producer

from stumble.simulator import Stream, StreamSettings, benchmark
from stumble.wire.codec import decode_record, encode_record, frame_single_object
from stumble.wire.headers import record_headers
from stumble.wire.schemas import EVENT
from stumble.wire.topics import partition_key


def events(*, success: bool, count: int) -> Iterable[dict[str, Any]]:
    """Yield the first `count` events of a benchmark stream."""
    return (item.event for item in benchmark.benchmark_items(success=success, events=count))


def whole(told: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yield events with all their fields, as the translation of a notification returns them."""
    return (decode_record(EVENT, encode_record(EVENT, event)) for event in told)


def history(count: int) -> Iterable[dict[str, Any]]:
    """Yield `count` other events of the same kind, from before the benchmark stream's time."""
    settings = benchmark.settings(events=count * 2)
    before = settings.start_us - 3 * 86_400_000_000
    other = StreamSettings(
        seed=settings.seed + 1,
        start_us=before,
        instances=20_000,
        rate=settings.rate,
        failures=settings.failures,
        hot_share=settings.hot_share,
        disturbance=settings.disturbance,
    )
    return (item.event for item in islice(Stream(other), count))


def load(bootstrap: str, topic: str, told: Iterable[dict[str, Any]]) -> int:
    """Write events to a topic; return how many."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
        }
    )
    count = 0
    for event in told:
        value = frame_single_object(EVENT, encode_record(EVENT, event))
        headers = record_headers(EVENT, event["source"]["publisher"], event["event_id"], event["occurred_at"])
        producer.produce(topic, value=value, key=partition_key(event), headers=headers)  # type: ignore[arg-type]
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
            while len(producer) > 100_000:
                producer.poll(0.1)
    if left := producer.flush(60):
        raise RuntimeError(f"Kafka did not acknowledge {left} records of the benchmark stream")
    return count
