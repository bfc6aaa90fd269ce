"""The disk space of the benchmark stream: ``python -m bench.sizes [EVENTS]`` writes what `stumble capacity` uses.

Topic: the log files of the broker, with the relay's compression in small batches (a host sends the few events of a
request) and in large ones (a host that catches up), and without compression. Store: tables with their indexes after a
vacuum.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.projector_figures import project, settings_for, topics
from bench.roles import role, wait_until
from bench.stack import Stack, stack
from bench.stream import events
from stumble.wire.codec import encode_record, frame_single_object
from stumble.wire.headers import record_headers
from stumble.wire.schemas import EVENT
from stumble.wire.topics import partition_key

TARGET = Path(__file__).parents[1] / "deploy" / "stumble" / "capacity" / "measured.toml"
_EVENTS = 50_000
#: Tables by what they grow with; the others grow with requests.
_BY_EVENT = ("events", "events_default", "late_events")
_BY_FAILURE = ("failures", "sightings", "problems")
_SIZES = """
select coalesce(parent.relname, c.relname), sum(pg_total_relation_size(c.oid))::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join pg_inherits i on i.inhrelid = c.oid left join pg_class parent on parent.oid = i.inhparent
where n.nspname in ('stumble_derived', 'stumble_durable') and c.relkind = 'r' group by 1
"""


def main(count: int) -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as servers:
        found = topic(servers, count) | store(servers, count)
    lines = [f"# Written by python -m bench.sizes, from {count} events of the benchmark stream. Bytes."]
    lines += [f"{name} = {value}" for name, value in found.items()]
    TARGET.write_text("\n".join(lines) + "\n")
    print(TARGET.read_text())


def topic(servers: Stack, count: int) -> dict[str, float]:
    """Return bytes per event on the broker's disk."""
    small: dict[str, object] = {"compression.type": "zstd", "batch.num.messages": 4, "linger.ms": 5}
    ways: dict[str, dict[str, object]] = {
        "plain": {"compression.type": "none"},
        "caught_up": {"compression.type": "zstd"},
        "usual": small,
    }
    found = {}
    for name, settings in ways.items():
        made = servers.topic(f"sizes-{name}")
        write(servers.kafka.bootstrap_servers, made, settings, count)
        logs = servers.kafka._data.glob(f"{made}-*/*.log")
        found[f"topic_event_{name}"] = round(sum(path.stat().st_size for path in logs) / count, 1)
    return found


def write(bootstrap: str, made: str, settings: dict[str, object], count: int) -> None:
    """Write the stream as the relay does."""
    common = {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True}
    producer = Producer({**common, "linger.ms": 20, "queue.buffering.max.messages": 500_000, **settings})
    for number, event in enumerate(events(success=False, count=count)):
        value = frame_single_object(EVENT, encode_record(EVENT, event))
        headers = record_headers(EVENT, event["source"]["publisher"], event["event_id"], event["occurred_at"])
        producer.produce(made, value=value, key=partition_key(event), headers=headers)  # type: ignore[arg-type]
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0


def store(servers: Stack, count: int) -> dict[str, float]:
    """Return bytes per row in the store, and how many rows an event causes."""
    topics(servers, "stored-")
    write(servers.kafka.bootstrap_servers, "stored-instance-actions", {}, count)
    url = servers.database()
    project(servers, url, "stored-", count)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum full analyze")
        sizes: dict[str, int] = dict(connection.execute(_SIZES).fetchall())
        names = ("events", "requests", "failures")
        rows = {name: _count(connection, f"stumble_derived.{name}") for name in names}
        published = publish(servers, url, _count(connection, "stumble_durable.publications"))
    print({name: size for name, size in sizes.items() if size > 100_000}, rows, file=sys.stderr)
    by_event = sum(sizes.get(name, 0) for name in _BY_EVENT)
    by_failure = sum(sizes.get(name, 0) for name in _BY_FAILURE)
    by_request = sum(sizes.values()) - by_event - by_failure
    return {
        "events_per_request": round(rows["events"] / rows["requests"], 2),
        "failures_per_request": round(rows["failures"] / rows["requests"], 3),
        "store_event": round(by_event / rows["events"], 1),
        "store_request": round(by_request / rows["requests"], 1),
        "store_failure": round(by_failure / rows["failures"], 1),
        "topic_published_by_request": round(published / rows["requests"], 1),
    }


def publish(servers: Stack, url: str, count: int) -> int:
    """Let the alerter publish everything; return the bytes of failures and outcomes on the broker's disk."""
    names = ("stored-instance-action-failures", "stored-instance-action-outcomes")
    consumer = Consumer({"bootstrap.servers": servers.kafka.bootstrap_servers, "group.id": "sizes"})

    def published() -> int:
        return sum(consumer.get_watermark_offsets(TopicPartition(name, 0), 10)[1] for name in names)

    try:
        with role("alerter", Path(os.devnull), **settings_for(servers, url, "stored-")):
            wait_until("the alerter has published everything", lambda: published() >= count, 300)
    finally:
        consumer.close()
    return sum(path.stat().st_size for name in names for path in servers.kafka._data.glob(f"{name}-*/*.log"))


def _count(connection: psycopg.Connection[tuple[int]], table: str) -> int:
    row = connection.execute(f"select count(*) from {table}".encode()).fetchone()  # noqa: S608 - constant names
    assert row
    return row[0]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else _EVENTS)
