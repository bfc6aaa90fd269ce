"""Several projectors: rate, failover, rebalance, hot keys, catching up, recovery of broker and database."""

from __future__ import annotations

import re
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench import jobs
from bench.projector_figures import settings_for
from bench.report import Report
from bench.roles import Role, role, wait_until
from bench.scale_watch import Feed, Watch
from bench.stack import PARTITIONS, Stack
from bench.stream import events, load

_NEWER = {"STUMBLE_KAFKA__CONSUMER_OPTIONS": '{"group.protocol": "consumer"}'}
_RATE = 400.0
_HOT = "5f0c0c5e-0000-4000-8000-00000000cafe"


def measure(report: Report, stack: Stack, *, count: int) -> None:
    """Measure everything once: seconds and counts need no median."""
    _throughput(report, stack, count)
    _hot_keys(report, stack, count)
    for name, options in (("classic", {}), ("kip848", _NEWER)):
        _group(report, stack, name, options)
    _servers(report, stack)


@dataclass
class Place:
    """A topic, a database, the settings of projectors for both, and the running projectors."""

    stack: Stack
    url: str
    prefix: str
    settings: dict[str, str]
    folder: Path
    exits: ExitStack
    running: dict[str, Role] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        return f"{self.prefix}instance-actions"

    def start(self, name: str) -> Role:
        """Start a projector."""
        self.running[name] = self.exits.enter_context(role("projector", self.log(name), **self.settings))
        return self.running[name]

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def partitions_of(self, name: str) -> set[int]:
        """Return the partitions that a projector reads, from its last log line about them."""
        said = re.findall(r"Reading partitions \[([\d, ]*)\]", self.log(name).read_text())
        return {int(word) for word in said[-1].split(",")} if said and said[-1] else set()

    def shared(self, *names: str) -> bool:
        """Whether these projectors read all partitions, each partition once."""
        parts = [self.partitions_of(name) for name in names]
        return all(parts) and sum(map(len, parts)) == PARTITIONS == len(set().union(*parts))

    def deadlocks(self) -> int:
        """Return how many deadlocks the database has had."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("select pg_stat_force_next_flush()")
            row = connection.execute(
                "select deadlocks from pg_stat_database where datname = current_database()"
            ).fetchone()
        assert row
        return int(row[0])


@contextmanager
def place(stack: Stack, prefix: str, options: dict[str, str], told: Iterable[dict[str, Any]] = ()) -> Iterator[Place]:
    """Create topics (with events, if any are given) and a database."""
    for name in ("instance-actions.dlq", "instance-action-producers"):
        stack.topic(prefix + name, 1)
    load(stack.kafka.bootstrap_servers, stack.topic(f"{prefix}instance-actions", PARTITIONS), told)
    url = stack.database()
    settings = settings_for(stack, url, prefix) | options
    jobs.command("store", "migrate", **settings)
    with tempfile.TemporaryDirectory(prefix="stumble-bench-") as folder, ExitStack() as exits:
        yield Place(stack, url, prefix, settings, Path(folder), exits)
    stack.drop(url)


def _throughput(report: Report, stack: Stack, count: int) -> None:
    told = list(events(success=False, count=count))
    deadlocks = 0
    for number in (1, 2, 4):
        with place(stack, f"scale{number}-", {}, told) as here:
            report.add(f"scale_{number}_projectors_events_per_second", [_rate(here, number, count)])
            deadlocks += here.deadlocks()
    report.add("scale_deadlocks", [deadlocks], "<= 0")


def _rate(here: Place, projectors: int, count: int) -> float:
    """Return events per second from the first commit to the last; `projectors` start together."""
    watch = Watch(here.url)
    watch.start()
    for number in range(projectors):
        here.start(f"p{number}")
    wait_until("everything is stored", lambda: sum(watch.offsets.values()) >= count, 300)
    watch.end()
    return watch.rate(count)


def _hot_keys(report: Report, stack: Stack, count: int) -> None:
    """Half of all events belong to one instance: one partition has more than half of the work."""
    told = [
        {**event, "instance_uuid": _HOT} if event.get("instance_uuid") and number % 2 else event
        for number, event in enumerate(events(success=False, count=count // 4))
    ]
    with place(stack, "hot-", {}, told) as here:
        report.add("scale_hot_key_events_per_second", [_rate(here, 2, len(told))])


def _group(report: Report, stack: Stack, name: str, options: dict[str, str]) -> None:
    """Kill a projector, start one and stop one, while events arrive."""
    with place(stack, f"{name}-", options) as here:
        feed, watch = Feed(stack.kafka.bootstrap_servers, here.topic, _RATE), Watch(here.url)
        feed.start()
        watch.start()
        here.start("first")
        wait_until("the first reads", lambda: here.shared("first"))
        here.start("second")
        wait_until("two share the partitions", lambda: here.shared("first", "second"))
        time.sleep(2)
        _killed(report, name, here, watch)
        _joined(report, name, here, watch)
        _stopped(report, name, here, watch)
        feed.end()
        wait_until("everything is stored", lambda: sum(watch.offsets.values()) >= feed.sent)
        watch.end()
        report.add(f"scale_{name}_deadlocks", [here.deadlocks()], "<= 0")


def _killed(report: Report, name: str, here: Place, watch: Watch) -> None:
    killed = time.monotonic()
    here.running["second"].send(signal.SIGKILL)
    wait_until("another one continues", lambda: here.shared("first") and watch.first_after(killed, every=True), 90)
    time.sleep(1)
    longest = watch.gaps(killed, time.monotonic())
    report.add(f"scale_{name}_takeover_after_kill_seconds", [max(longest.values())], "<= 10")


def _joined(report: Report, name: str, here: Place, watch: Watch) -> None:
    began = time.monotonic()
    before = here.partitions_of("first")
    here.start("third")
    wait_until("the third has its share", lambda: here.shared("first", "third"), 60)
    time.sleep(3)
    gaps = watch.gaps(began, time.monotonic())
    stayed = before & here.partitions_of("first")
    goal = "<= 3" if name == "kip848" else None
    report.add(f"scale_{name}_rebalance_pause_of_those_that_stay_seconds", [max(gaps[p] for p in stayed)], goal)
    report.add(f"scale_{name}_rebalance_pause_of_those_that_move_seconds", [max(gaps[p] for p in gaps.keys() - stayed)])


def _stopped(report: Report, name: str, here: Place, watch: Watch) -> None:
    began = time.monotonic()
    here.running["third"].send(signal.SIGTERM)
    status = here.running["third"].wait(20)
    report.add(f"scale_{name}_graceful_stop_seconds", [time.monotonic() - began])
    if status:
        raise RuntimeError(f"a projector ended with status {status} after SIGTERM, see {here.log('third')}")
    wait_until("the other one continues", lambda: here.shared("first") and watch.first_after(began, every=True), 60)
    time.sleep(1)
    gaps = watch.gaps(began, time.monotonic())
    report.add(f"scale_{name}_takeover_after_stop_seconds", [max(gaps.values())])


def _servers(report: Report, stack: Stack) -> None:
    """Kill broker and database; measure from their restart to the next progress of the store."""
    with place(stack, "back-", {}) as here:
        feed, watch = Feed(stack.kafka.bootstrap_servers, here.topic, _RATE), Watch(here.url)
        feed.start()
        watch.start()
        here.start("first")
        here.start("second")
        wait_until("two share the partitions", lambda: here.shared("first", "second"))
        for name, server in (("broker", stack.kafka), ("database", stack.postgres)):
            time.sleep(3)
            server.process.stop(signal.SIGKILL)
            time.sleep(2)
            server.stop()
            server.start()
            back = time.monotonic()
            wait_until("the store makes progress", lambda back=back: watch.first_after(back, every=True), 60)
            report.add(f"scale_recovery_after_{name}_seconds", [watch.first_after(back, every=True) or 0.0], "<= 5")
        _catch_up(report, here, feed, watch)
        feed.end()
        wait_until("everything is stored", lambda: sum(watch.offsets.values()) >= feed.sent)
        watch.end()


def _catch_up(report: Report, here: Place, feed: Feed, watch: Watch) -> None:
    """Stop both projectors for a while: the backlog is stored in larger batches than events without a backlog."""
    time.sleep(4)
    calm = _batch(watch, time.monotonic() - 2)
    for name in ("first", "second"):
        here.running[name].send(signal.SIGTERM)
        here.running[name].wait(20)
    stopped = sum(watch.offsets.values())
    wait_until("a backlog exists", lambda: feed.sent - stopped > 10 * _RATE, 60)
    began = time.monotonic()
    here.start("again")
    wait_until("it has caught up", lambda: feed.sent - sum(watch.offsets.values()) < _RATE / 2, 90)
    first = min(move for moves in watch.moves.values() for move in moves if move > began)
    report.add("scale_catch_up_of_10_s_seconds", [time.monotonic() - first])
    report.add("scale_batch_in_calm_events", [calm])
    report.add("scale_batch_behind_events", [_batch(watch, first, first + 0.5)])


def _batch(watch: Watch, begin: float, end: float = float("inf")) -> float:
    """Return the most events that were stored between two queries: about the largest transaction."""
    return max((moved for moment, moved in watch.steps if begin <= moment <= end), default=0)
