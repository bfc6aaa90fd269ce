"""The rate of a relay with a full outbox, and the time from `emit` to the row that the API reads."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from bench import jobs
from bench.report import Report
from bench.roles import role, wait_until
from bench.stack import PARTITIONS, Stack


def measure(report: Report, stack: Stack, *, runs: int, count: int) -> None:
    """Measure how fast a relay delivers `count` waiting events."""
    rates, memory, cpu = [], [], []
    for run in range(runs):
        topic = stack.topic(f"relay{run}-instance-actions", PARTITIONS)
        stack.topic(f"relay{run}-instance-action-producers", 1)
        with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder:
            outbox = Path(folder) / "outbox"
            jobs.ours("fill", str(outbox), str(count))
            with role(
                "relay", Path(folder) / "log", **role_settings(stack, f"relay{run}-", outbox, Path(folder))
            ) as relay:
                rates.append(_delivered(stack, topic, count))
                memory.append(relay.peak_mb())
                cpu.append(1e6 * relay.cpu_seconds() / count)
    report.add("relay_events_per_second", rates, ">= 30000")
    report.add("relay_cpu_us_per_event", cpu)
    report.add("relay_rss_mb", memory, "<= 100")


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


def _delivered(stack: Stack, topic: str, count: int) -> float:
    """Watch the topic until it contains `count` events; return events per second, without the first ones seen."""
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
