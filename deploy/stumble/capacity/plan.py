"""Compute disk space, partitions and projectors from a cloud's size."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["CLOUDS", "Cloud", "Needs", "capacity_table", "compute_needs", "measured_sizes"]

_DAY = 86_400
#: Actions arrive in bursts: at this many times the mean rate the backlog must not grow.
_PEAK = 5
#: Events per second that a partition should carry at most at the peak: a tenth of what one projector processes, so that
#: ten can share the work and process a backlog of hours in minutes.
_BY_PARTITION = 1_000
_FEWEST_PARTITIONS = 12
#: Events per second that one projector processes on two modest cores; docs/benchmarks.md has more.
_BY_PROJECTOR = 10_000
#: Size of tables and indexes after months of updates, divided by their size when newly written.
_LOOSE = 1.5
#: A relay and three services on a host report twice a minute; compaction leaves about this many reports of each.
_STATUSES, _REPORTS, _STATUS_BYTES = 4, 100, 400


@dataclass(frozen=True, slots=True)
class Cloud:
    """The size of a cloud, the retention of its events and requests (days), and the replicas of each partition."""

    hosts: int
    actions_per_second: float
    topic_days: int = 90
    events_days: int = 90
    requests_days: int = 400
    copies: int = 3


@dataclass(frozen=True, slots=True)
class Needs:
    """What a cloud needs; sizes in bytes, rates per second."""

    events_per_second: float
    events_per_day: float
    partitions: int
    projectors: int
    #: Of all brokers together, all replicas included.
    kafka_bytes: float
    store_events_bytes: float
    store_requests_bytes: float
    #: On each host, for a day without Kafka.
    outbox_bytes: float

    @property
    def store_bytes(self) -> float:
        """The whole database, with the unused space that months of updates leave."""
        return self.store_events_bytes + self.store_requests_bytes


@cache
def measured_sizes() -> dict[str, float]:
    """Return the bytes per event, request and failure, measured with the benchmark stream."""
    with (Path(__file__).with_name("measured.toml")).open("rb") as file:
        return {name: float(value) for name, value in tomllib.load(file).items()}


def compute_needs(cloud: Cloud) -> Needs:
    """Return what a cloud needs."""
    cost, a_day = measured_sizes(), cloud.actions_per_second * _DAY
    events = a_day * cost["events_per_request"]
    by_request = cost["store_request"] + cost["store_failure"] * cost["failures_per_request"]
    published = cost["topic_published_by_request"] * a_day
    topics = (
        events * cost["topic_event_usual"] * cloud.topic_days
        + published * min(cloud.topic_days, 30)
        + cloud.hosts * _STATUSES * _REPORTS * _STATUS_BYTES
    )
    per_second = events / _DAY
    return Needs(
        events_per_second=per_second,
        events_per_day=events,
        partitions=max(_FEWEST_PARTITIONS, 12 * math.ceil(per_second * _PEAK / _BY_PARTITION / 12)),
        projectors=1 + math.ceil(per_second * _PEAK / _BY_PROJECTOR),
        kafka_bytes=topics * cloud.copies,
        store_events_bytes=events * cost["store_event"] * cloud.events_days * _LOOSE,
        store_requests_bytes=a_day * by_request * cloud.requests_days * _LOOSE,
        outbox_bytes=events * cost["topic_event_plain"] / max(cloud.hosts, 1),
    )


#: From a lab to the largest clouds that have published their size.
CLOUDS = (Cloud(10, 0.05), Cloud(100, 0.5), Cloud(1_000, 3), Cloud(5_000, 15), Cloud(20_000, 60))


def capacity_table() -> str:
    """Return the table of docs/operations.md."""
    lines = [
        "| hosts | actions/s | events/day | partitions | projectors | Kafka, 3 replicas | database | outbox a day |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cloud in CLOUDS:
        result = compute_needs(cloud)
        lines.append(
            f"| {cloud.hosts} | {cloud.actions_per_second:g} | {format_count(result.events_per_day)} "
            f"| {result.partitions} | {result.projectors} | {format_size(result.kafka_bytes)} "
            f"| {format_size(result.store_bytes)} | {format_size(result.outbox_bytes)} |"
        )
    return "\n".join(lines)


def format_size(value: float) -> str:
    """Return bytes as text with a unit, two significant digits."""
    for unit, limit in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= limit:
            return f"{float(f'{value / limit:.2g}'):g} {unit}"
    return f"{float(f'{value / 1e3:.2g}'):g} kB"


def format_count(value: float) -> str:
    """Return a number as text with two significant digits."""
    for unit, limit in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if value >= limit:
            return f"{float(f'{value / limit:.2g}'):g} {unit}"
    return f"{value:.0f}"
