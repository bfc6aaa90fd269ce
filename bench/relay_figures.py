"""The rate of a relay with a full outbox, and the time from `emit` to the row that the API reads."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from bench import jobs
from bench.report import Report
from bench.roles import role, wait_until
from bench.stack import PARTITIONS, Stack


def measure(report: Report, stack: Stack, *, runs: int, count: int) -> None:
    """Measure how fast a relay delivers `count` waiting events."""
    measured = []
    for run in range(runs):
        stack.topic(f"relay{run}-instance-actions", PARTITIONS)
        measured.append(deliver(stack, f"relay{run}-", count, {}))
    report.add("relay_events_per_second", [one.events_per_second for one in measured], ">= 30000")
    report.add("relay_cpu_us_per_event", [one.cpu_us_per_event for one in measured])
    report.add("relay_rss_mb", [one.rss_mb for one in measured], "<= 100")


class Delivery(NamedTuple):
    """What a relay used to deliver a full outbox."""

    events_per_second: float
    cpu_us_per_event: float
    rss_mb: float


def deliver(stack: Stack, prefix: str, count: int, settings: dict[str, str]) -> Delivery:
    """Fill an outbox, and let a relay with these further settings deliver it to an existing topic."""
    stack.topic(f"{prefix}instance-action-producers", 1)
    with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
        outbox = Path(folder) / "outbox"
        jobs.ours("fill", str(outbox), str(count))
        more = role_settings(stack, prefix, outbox, Path(folder)) | settings
        with role("relay", Path(folder) / "log", **more) as relay:
            rate = wait_for_delivery(stack, f"{prefix}instance-actions", count)
            return Delivery(rate, 1e6 * relay.cpu_seconds() / count, relay.peak_mb())


def latency(report: Report, stack: Stack, *, runs: int, seconds: float, rate: float = 200.0) -> None:
    """Measure the time from `emit` to the request's row at `rate` events per second."""
    p50, p99 = [], []
    for run in range(runs):
        prefix = f"late{run}-"
        for name in ("instance-actions.dlq", "instance-action-producers"):
            stack.topic(prefix + name, 1)
        stack.topic(f"{prefix}instance-actions", PARTITIONS)
        url = stack.database()
        with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
            place = Path(folder)
            settings = role_settings(stack, prefix, place / "outbox", place) | {"STUMBLE_DATABASE_URL": url}
            jobs.command("store", "migrate", **settings)
            with role("relay", place / "relay.log", **settings), role("projector", place / "log", **settings):
                time.sleep(4)
                found = jobs.ours("latency", str(place / "outbox"), url, str(rate), str(seconds))
        stack.drop(url)
        taken = [1000 * one for one in found["seconds"]]
        if len(taken) < found["requests"]:
            raise RuntimeError(f"{found['requests'] - len(taken)} of {found['requests']} requests have no row")
        cuts = statistics.quantiles(taken, n=100)
        p50.append(cuts[49])
        p99.append(cuts[98])
    report.add("latency_p50_ms", p50, "<= 100")
    report.add("latency_p99_ms", p99, "<= 300")


def role_settings(stack: Stack, prefix: str, outbox: Path, folder: Path) -> dict[str, str]:
    """Return the environment of a role over topics with this prefix."""
    return {
        "STUMBLE_OUTBOX_DIR": str(outbox),
        "STUMBLE_RELAY_HOSTS": "*",
        "STUMBLE_STATE_DIR": str(folder / "state"),
        "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": stack.kafka.bootstrap_servers,
        "STUMBLE_KAFKA__TOPIC_PREFIX": prefix,
        "STUMBLE_PROJECTOR_GROUP": f"bench-{prefix}",
    }


def wait_for_delivery(stack: Stack, topic: str, count: int) -> float:
    """Wait until the topic contains `count` events; return events per second, without the first ones seen."""
    consumer = Consumer({"bootstrap.servers": stack.kafka.bootstrap_servers, "group.id": "bench-watch"})

    def total() -> int:
        marks = [consumer.get_watermark_offsets(TopicPartition(topic, part), 5) for part in range(PARTITIONS)]
        return sum(mark[1] for mark in marks if mark)

    try:
        wait_until("the relay sends", total)
        first, began = total(), time.monotonic()
        wait_until("the relay is done", lambda: total() >= count, 120)
        return (count - first) / (time.monotonic() - began)
    finally:
        consumer.close()
