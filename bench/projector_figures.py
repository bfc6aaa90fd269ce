"""The projector, compared with its peers: the same topic, the same machine, in turn."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import jobs
from bench.report import Report
from bench.roles import role, wait_until
from bench.scale_watch import Watch
from bench.stack import PARTITIONS, Stack
from bench.stream import events, history, load

#: Script, further arguments, and two goals: the rate of one projector, and of one per core, divided by the peer's.
_PEERS: dict[str, tuple[str, tuple[str, ...], str | None, str | None]] = {
    "quixstreams": ("quix_sink", (), ">= 3", ">= 5"),
    "copy": ("aiokafka_copy", (), ">= 0.8", ">= 1.2"),
    "copy_once": ("aiokafka_copy", ("once",), None, None),
}
_CORES = len(os.sched_getaffinity(0))
#: Long enough for streams of any age: their events have fixed times.
_KEEP = {"STUMBLE_PROJECTOR_EVENTS_DAYS": "3650", "STUMBLE_PROJECTOR_REQUESTS_DAYS": "3650"}


def measure(report: Report, stack: Stack, python: Path, *, runs: int, count: int, success: bool) -> None:
    """Measure one of the two streams; the figures of the all-success stream end in `_success`."""
    end = "_success" if success else ""
    prefix = f"bench{'-success' if success else ''}-"
    topic = topics(stack, prefix)
    load(stack.kafka.bootstrap_servers, topic, events(success=success, count=count))
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in (*_PEERS, "projector")}
    rates: dict[str, list[float]] = {"all_cores": []}
    for _ in range(runs):
        for name, (script, more, *_goals) in _PEERS.items():
            taken[name].append(_peer(stack, python, script, topic, count, *more))
        taken["projector"].append(_ours(stack, prefix, count))
        rates["all_cores"].append(_all_cores(stack, prefix, count))
    rates |= {name: [run["events"] / run["seconds"] for run in found] for name, found in taken.items()}
    for name, found in rates.items():
        report.add(f"{name}_events_per_second{end}", found)
    for name, runs_of in taken.items():
        report.add(f"{name}_cpu_us_per_event{end}", [1e6 * run["all_cpu"] / run["events"] for run in runs_of])
    for name, (_script, _more, *goals) in _PEERS.items():
        for who, goal in zip(("projector", "all_cores"), goals, strict=True):
            ratio = [own / other for own, other in zip(rates[who], rates[name], strict=True)]
            report.add(f"{who}_ratio_to_{name}{end}", ratio, goal)
    report.add(f"projector_rss_mb{end}", [run["rss_mb"] for run in taken["projector"]], "<= 300")


def full_store(report: Report, stack: Stack, *, runs: int, count: int, stored: int) -> None:
    """Measure how much slower the projector is when the store already contains `stored` events."""
    prefix, before = "full-", "before-"
    load(stack.kafka.bootstrap_servers, topics(stack, prefix), events(success=False, count=count))
    load(stack.kafka.bootstrap_servers, topics(stack, before), history(stored))
    empty, full = [], []
    for _ in range(runs):
        url = stack.database()
        empty.append(_rate(project(stack, url, prefix, count)))
        stack.drop(url)
        url = stack.database()
        project(stack, url, before, stored)
        stack.settle(url)
        full.append(_rate(project(stack, url, prefix, count)))
        stack.drop(url)
    ratio = [after / alone for after, alone in zip(full, empty, strict=True)]
    report.add("projector_full_store_events_per_second", full)
    report.add("projector_full_store_ratio", ratio, ">= 0.85")


def topics(stack: Stack, prefix: str) -> str:
    """Create the topics that a projector needs; return the topic of events."""
    for name in ("instance-actions.dlq", "instance-action-failures", "instance-action-outcomes"):
        stack.topic(prefix + name, 1)
    return stack.topic(f"{prefix}instance-actions", PARTITIONS)


def _rate(run: dict[str, Any]) -> float:
    return float(run["events"] / run["seconds"])


def _peer(stack: Stack, python: Path, script: str, topic: str, count: int, *more: str) -> dict[str, Any]:
    url = stack.database()
    try:
        before = stack.postgres_cpu()
        about = (stack.kafka.bootstrap_servers, topic, url, str(count), str(jobs.AVSC))
        found = jobs.peer(python, script, *about, *more)
        found["all_cpu"] = found["cpu_seconds"] + stack.postgres_cpu() - before
        return found
    finally:
        stack.drop(url)


def _ours(stack: Stack, prefix: str, count: int) -> dict[str, Any]:
    url = stack.database()
    try:
        return project(stack, url, prefix, count)
    finally:
        stack.drop(url)


def _all_cores(stack: Stack, prefix: str, count: int) -> float:
    """Return the rate of one command with a process for each core."""
    url = stack.database()
    try:
        settings = settings_for(stack, url, prefix)
        jobs.command("store", "migrate", **settings)
        watch = Watch(url, every=0.1)  # more queries would cost the database time, which the peers do not pay
        watch.start()
        with (
            tempfile.TemporaryDirectory() as folder,
            role(f"projector --processes {_CORES}", Path(folder) / "log", **settings),
        ):
            wait_until("everything is stored", lambda: sum(watch.offsets.values()) >= count, 300)
        watch.end()
        return watch.rate(count)
    finally:
        stack.drop(url)


def settings_for(stack: Stack, url: str, prefix: str) -> dict[str, str]:
    """Return the environment of a role over a database and topics with this prefix."""
    return {
        "STUMBLE_DATABASE_URL": url,
        "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": stack.kafka.bootstrap_servers,
        "STUMBLE_KAFKA__TOPIC_PREFIX": prefix,
        "STUMBLE_PROJECTOR_GROUP": f"bench-{url.rpartition('/')[2]}",
        **_KEEP,
    }


def project(stack: Stack, url: str, prefix: str, count: int, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Project a topic into a database with these further settings, migrating it first."""
    settings = settings_for(stack, url, prefix) | dict(more or {})
    jobs.command("store", "migrate", **settings)
    before = stack.postgres_cpu()
    found = jobs.ours("projector", str(count), environment=settings)
    found["all_cpu"] = found["cpu_seconds"] + stack.postgres_cpu() - before
    return found
