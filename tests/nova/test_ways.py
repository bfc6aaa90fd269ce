"""A dozen scenarios by each way: driver without tap, bridge from RabbitMQ, bridge from Kafka, driver and bridge."""

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

from stumble.local.process import read_log_tail
from tests.nova import judge, offline
from tests.nova.conftest import EXPECTED
from tests.support.projection import expected
from tests.support.rabbitmq import LocalRabbit, require_rabbitmq
from tests.support.services import cli_environment

pytestmark = pytest.mark.xdist_group("nova each way")

IN_NOTIFICATIONS = (
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
"""Both notification formats contain the end of all of these."""
ONLY_IN_TAP = ("changePassword works", "unshelve: no valid host", "live migration: the driver raises")
"""Only the tap reports the end of these."""
OPEN_OUTCOMES = ("IN_PROGRESS", "STALLED")
PRIORITIES = ("info", "error")

Event = dict[str, Any]
Harness = Callable[..., list[dict[str, Any]]]
Results = Sequence[dict[str, Any]]


class Bridge:
    """A bridge as a process, with its own outbox."""

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
        """Run it; its queues exist when the block begins."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "stumble.cli", "bridge"], env=self._environment, stdout=log, stderr=log
            )
            try:
                deadline = time.monotonic() + 90
                while b"Reading notifications" not in self.log.read_bytes():
                    assert process.poll() is None, read_log_tail(self.log)
                    assert time.monotonic() < deadline, read_log_tail(self.log)
                    time.sleep(0.1)
                yield
            finally:
                process.terminate()
                process.wait(60)


def play(harness: Harness, folder: Path, *arguments: str, path: str = "") -> Results:
    """Play the scenarios of both lists; require that each was played."""
    names = folder / "names.json"
    names.write_text(json.dumps([*IN_NOTIFICATIONS, *ONLY_IN_TAP]))
    results = harness("--names", str(names), *arguments, path=path)
    assert len(results) == len(IN_NOTIFICATIONS) + len(ONLY_IN_TAP)
    return results


def differences_of(results: Results, events: Sequence[Event], tap_only: Sequence[str] = ONLY_IN_TAP) -> list[str]:
    """Return the differences from the table, and final outcomes of the scenarios in `tap_only`."""
    records = list(expected(events).values())
    differences = []
    for result in results:
        name = result["scenario"]
        items = [asdict(record) for record in records if record.request_id == result["request_id"]]
        if name not in tap_only:
            differences += [f"{name}: {line}" for line in judge.differences(EXPECTED[name], items)]
        elif outcomes := [item["outcome"] for item in items if item["outcome"] not in OPEN_OUTCOMES]:
            differences.append(f"{name}: {outcomes} without a signal")
    return differences


def wait_for_events(outbox: Path, done: Callable[[list[Event]], bool], seconds: float = 90) -> list[Event]:
    """Return the events of a bridge's outbox as soon as `done`, or after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        events = list(offline.events_of(outbox))
        if done(events) or time.monotonic() > deadline:
            return events
        time.sleep(0.3)


def test_driver_without_tap_records_what_notifications_contain(harness: Harness, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    results = play(harness, tmp_path, "--format", "both", "--stumble", f"outbox_dir={outbox}", "--stumble", "tap=false")
    events = list(offline.events_of(outbox))
    assert {event["source"]["kind"] for event in events} == {"VERSIONED", "LEGACY"}
    assert differences_of(results, events) == []


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRabbit]:
    require_rabbitmq()
    server = LocalRabbit(tmp_path_factory.mktemp("rabbit"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_bridge_from_rabbitmq_records_what_notifications_contain(
    harness: Harness, rabbit: LocalRabbit, tmp_path: Path
) -> None:
    """Nothing of stumble is configured in Nova; the context is flattened into the message."""
    bridge = Bridge(tmp_path, rabbit.url)
    with bridge.running():
        results = play(harness, tmp_path, "--format", "both", "--notify", "messagingv2", "--transport", rabbit.url)
        events = wait_for_events(bridge.outbox, lambda events_so_far: not differences_of(results, events_so_far))
    assert differences_of(results, events) == []
    assert {event["source"]["kind"] for event in events} == {"VERSIONED", "LEGACY"}


def test_bridge_from_kafka_records_what_notifications_contain(harness: Harness, kafka: str, tmp_path: Path) -> None:
    """Nothing of stumble is configured in Nova; the context is nested in the message."""
    from confluent_kafka.admin import AdminClient, NewTopic

    vhost = f"nova{time.time_ns()}"  # separate topics for this test
    admin = AdminClient({"bootstrap.servers": kafka})
    names = [f"{topic}.{each}.{vhost}" for topic in ("notifications", "versioned_notifications") for each in PRIORITIES]
    for made in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
        made.result(30)
    url = f"kafka://{kafka}/{vhost}"
    bridge = Bridge(tmp_path, url)
    with bridge.running():
        arguments = ("--format", "both", "--notify", "messagingv2", "--transport", url)
        results = play(harness, tmp_path, *arguments, path=kafka_client(tmp_path))
        events = wait_for_events(bridge.outbox, lambda events_so_far: not differences_of(results, events_so_far))
    assert differences_of(results, events) == []
    assert {event["source"]["kind"] for event in events} == {"VERSIONED", "LEGACY"}


def kafka_client(folder: Path) -> str:
    """Return a folder with only this environment's Kafka client: Nova's lock has none."""
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


def test_driver_and_bridge_together_record_each_failure_once(
    harness: Harness, rabbit: LocalRabbit, tmp_path: Path
) -> None:
    """Driver with tap and bridge at the same time, in both orders; the driver adds nothing to other queues."""
    outbox, bridge = tmp_path / "outbox", Bridge(tmp_path, rabbit.url)
    with bridge.running():
        transport = ("--notify", "messagingv2", "--transport", rabbit.url)
        results = play(harness, tmp_path, "--stumble", f"outbox_dir={outbox}", *transport)
        driver_events = list(offline.events_of(outbox))
        legacy = {event["event_id"] for event in driver_events if event["source"]["kind"] == "LEGACY"}
        bridge_events = wait_for_events(
            bridge.outbox, lambda events_so_far: legacy <= {event["event_id"] for event in events_so_far}
        )
    assert {event["source"]["kind"] for event in bridge_events} == {"LEGACY"}  # Nova's default format, unchanged
    assert {event["event_id"] for event in bridge_events} == legacy  # the same events, by the same ids
    assert differences_of(results, [*driver_events, *bridge_events], tap_only=()) == []
    assert differences_of(results, [*bridge_events, *driver_events], tap_only=()) == []
