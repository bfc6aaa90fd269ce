"""A dozen scenarios each way for real: driver without tap, bridge from RabbitMQ, bridge from Kafka, two at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from stumble.local.process import tail
from tests.nova import judge, offline
from tests.nova.conftest import EXPECTED
from tests.support.projection import expected
from tests.support.rabbitmq import LocalRabbit, require_rabbitmq
from tests.support.services import cli_environment

pytestmark = pytest.mark.xdist_group("nova each way")

KNOWN = (
    "create works",
    "create: no valid host",
    "create: host1 fails, host2 succeeds",
    "stop works",
    "stop fails",
    "an admin stops a user's server, it fails",
    "reboot fails, the server runs on",
    "resize works",
    "resize: no valid host",
    "live migration rolls back",
    "attach_volume: the hypervisor fails",
    "rebuild fails on the host",
    "delete works",
)
"""Both notification formats tell all of these."""
BLIND = ("changePassword works", "unshelve: no valid host", "live migration: the driver raises")
"""Only the tap can know how these end."""
NOT_KNOWN = ("IN_PROGRESS", "STALLED")
PRIORITIES = ("info", "error")

Event = dict[str, Any]
Harness = Callable[..., list[dict[str, Any]]]
Results = Sequence[dict[str, Any]]


class Bridge:
    """A bridge as a process, with an outbox of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.outbox, self.log = folder / "bridged", folder / "bridge.log"
        (folder / "bridge.toml").write_text(f'[[bridge.transports]]\nname = "cell1"\nurl = "{url}"\n')
        self._environment = cli_environment(
            STUMBLE_CONFIG=str(folder / "bridge.toml"),
            STUMBLE_OUTBOX_DIR=str(self.outbox),
            STUMBLE_STATE_DIR=str(folder / "state"),
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it; it has its queues when the block begins."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "stumble.cli", "bridge"], env=self._environment, stdout=log, stderr=log
            )
            try:
                deadline = time.monotonic() + 90
                while b"Reading notifications" not in self.log.read_bytes():
                    assert process.poll() is None, tail(self.log)
                    assert time.monotonic() < deadline, tail(self.log)
                    time.sleep(0.1)
                yield
            finally:
                process.terminate()
                process.wait(60)


def play(harness: Harness, folder: Path, *arguments: str, path: str = "") -> Results:
    """Play the scenarios of both lists; every one could be played."""
    names = folder / "names.json"
    names.write_text(json.dumps([*KNOWN, *BLIND]))
    results = harness("--names", str(names), *arguments, path=path)
    assert len(results) == len(KNOWN) + len(BLIND)
    return results


def wrong(results: Results, events: Sequence[Event], blind: Sequence[str] = BLIND) -> list[str]:
    """Say what is not as the table has it, or claimed without being known."""
    records = list(expected(events).values())
    told = []
    for result in results:
        name = result["scenario"]
        items = [asdict(record) for record in records if record.request_id == result["request_id"]]
        if name not in blind:
            told += [f"{name}: {line}" for line in judge.differences(EXPECTED[name], items)]
        elif claimed := [item["outcome"] for item in items if item["outcome"] not in NOT_KNOWN]:
            told.append(f"{name}: {claimed} is claimed")
    return told


def settled(outbox: Path, done: Callable[[list[Event]], bool], seconds: float = 90) -> list[Event]:
    """Return the events of a bridge's outbox as soon as all is there, or in the end."""
    deadline = time.monotonic() + seconds
    while True:
        events = list(offline.events_of(outbox))
        if done(events) or time.monotonic() > deadline:
            return events
        time.sleep(0.3)


def test_the_driver_without_its_tap(harness: Harness, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    results = play(harness, tmp_path, "--format", "both", "--stumble", f"outbox_dir={outbox}", "--stumble", "tap=false")
    events = list(offline.events_of(outbox))
    assert {event["source"]["kind"] for event in events} == {"VERSIONED", "LEGACY"}
    assert wrong(results, events) == []


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRabbit]:
    require_rabbitmq()
    server = LocalRabbit(tmp_path_factory.mktemp("rabbit"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_the_bridge_from_rabbitmq(harness: Harness, rabbit: LocalRabbit, tmp_path: Path) -> None:
    """Nothing of stumble is configured in Nova; the context is flattened into the message."""
    bridge = Bridge(tmp_path, rabbit.url)
    with bridge.running():
        results = play(harness, tmp_path, "--format", "both", "--notify", "messagingv2", "--transport", rabbit.url)
        events = settled(bridge.outbox, lambda found: not wrong(results, found))
    assert wrong(results, events) == []
    assert {event["source"]["kind"] for event in events} == {"VERSIONED", "LEGACY"}


def test_the_bridge_from_kafka(harness: Harness, kafka: str, tmp_path: Path) -> None:
    """Nothing of stumble is configured in Nova; the context is nested in the message."""
    from confluent_kafka.admin import AdminClient, NewTopic

    vhost = f"nova{time.time_ns()}"  # else the topics of another test
    admin = AdminClient({"bootstrap.servers": kafka})
    names = [f"{topic}.{each}.{vhost}" for topic in ("notifications", "versioned_notifications") for each in PRIORITIES]
    for made in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        made.result(30)
    url = f"kafka://{kafka}/{vhost}"
    bridge = Bridge(tmp_path, url)
    with bridge.running():
        arguments = ("--format", "both", "--notify", "messagingv2", "--transport", url)
        results = play(harness, tmp_path, *arguments, path=kafka_client(tmp_path))
        events = settled(bridge.outbox, lambda found: not wrong(results, found))
    assert wrong(results, events) == []
    assert {event["source"]["kind"] for event in events} == {"VERSIONED", "LEGACY"}


def kafka_client(folder: Path) -> str:
    """Return a folder that holds this environment's Kafka client and nothing else: Nova's lock has none."""
    spec = find_spec("confluent_kafka")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    links = folder / "kafka-client"
    links.mkdir()
    for name in (package.name, f"{package.name}.libs"):
        if (package.parent / name).exists():
            (links / name).symlink_to(package.parent / name)
    return str(links)


def test_two_ways_at_once_yield_each_failure_once(harness: Harness, rabbit: LocalRabbit, tmp_path: Path) -> None:
    """Driver with tap and bridge beside each other, whoever is first; the driver adds nothing to the others' queues."""
    outbox, bridge = tmp_path / "outbox", Bridge(tmp_path, rabbit.url)
    with bridge.running():
        transport = ("--notify", "messagingv2", "--transport", rabbit.url)
        results = play(harness, tmp_path, "--stumble", f"outbox_dir={outbox}", *transport)
        ours = list(offline.events_of(outbox))
        legacy = {event["event_id"] for event in ours if event["source"]["kind"] == "LEGACY"}
        theirs = settled(bridge.outbox, lambda found: legacy <= {event["event_id"] for event in found})
    assert {event["source"]["kind"] for event in theirs} == {"LEGACY"}  # Nova's default format, unchanged
    assert {event["event_id"] for event in theirs} == legacy  # the same events, by the same ids
    assert wrong(results, [*ours, *theirs], blind=()) == []
    assert wrong(results, [*theirs, *ours], blind=()) == []
