"""The bridge with a real RabbitMQ and a real Kafka; oslo.messaging sends the notifications."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import pytest

from stumble.local.ports import LOOPBACK, free_port
from stumble.outbox import OutboxCursor, OutboxReader
from stumble.outbox.folders import outbox_folders
from stumble.wire import codec, schemas
from tests.support.rabbitmq import LocalRabbit, require_rabbitmq
from tests.support.services import cli_environment

DOCS = Path(__file__).parents[3] / "docs"
SENDER = Path(__file__).with_name("notify.py")
INSTANCE = "178b0921-8f85-4257-88b6-2e743b5a975c"


def send(url, count):
    """Send with oslo.messaging's notifier, in a new process because it loads eventlet."""
    subprocess.run(
        [sys.executable, "-W", "ignore", str(SENDER), url, str(count), INSTANCE],
        env=cli_environment(),
        check=True,
        timeout=120,
    )


class RunningBridge:
    """A bridge as a process, and the events in its outbox."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        (folder / "bridge.toml").write_text(config)
        self.port = free_port()
        self.environment = cli_environment(
            STUMBLE_METRICS_PORT=str(self.port),
            STUMBLE_CONFIG=str(folder / "bridge.toml"),
            STUMBLE_OUTBOX_DIR=str(folder / "outbox"),
            STUMBLE_STATE_DIR=str(folder / "state"),
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self):
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stumble.cli", "bridge"], env=self.environment, stdout=log, stderr=log
            )

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            return self.process.wait(60)
        return None

    def health(self, path="/readyz"):
        """Return status and detail of a health endpoint."""
        reply = httpx.get(f"http://{LOOPBACK}:{self.port}{path}", timeout=60)
        return reply.status_code, reply.json()["detail"]

    def wait_for_health(self, status, detail):
        deadline = time.monotonic() + 90
        while (current := self.health()) != (status, detail):
            assert time.monotonic() < deadline, current
            time.sleep(0.2)

    def connected(self, name):
        """Return whether the metrics show a transport as connected."""
        text = httpx.get(f"http://{LOOPBACK}:{self.port}/metrics", timeout=60).text
        return f'stumble_bridge_transport_connected{{transport="{name}"}} 1.0' in text

    def events(self):
        events = []
        for folder in outbox_folders(str(self.folder / "outbox")):
            reader, cursor = OutboxReader(folder.path), OutboxCursor()
            while (chunk := reader.read(cursor, live=True)).end != cursor:
                cursor = chunk.end
                events += [codec.decode_record(schemas.EVENT, record.body) for record in chunk.records]
            reader.close()
        return events

    def wait_for(self, count, distinct=False):
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            events = self.events()
            size = len({event["event_id"] for event in events}) if distinct else len(events)
            if size >= count:
                return events
            time.sleep(0.2)
        raise AssertionError(f"{len(self.events())} of {count} events: {(self.folder / 'log').read_text()[-3000:]}")


@pytest.fixture
def start_bridge(tmp_path):
    bridges = []

    def make(config):
        bridges.append(RunningBridge(tmp_path, config))
        bridges[-1].start()
        return bridges[-1]

    yield make
    for bridge in bridges:
        bridge.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    require_rabbitmq()
    server = LocalRabbit(tmp_path_factory.mktemp("rabbit"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def rabbit(server):
    return server.url


def test_check_warns_of_unread_queues(rabbit, tmp_path, start_bridge):
    send(rabbit, 3)  # declares the queue of versioned notifications as Nova does
    nova = tmp_path / "nova.conf"
    nova.write_text(f"[DEFAULT]\ntransport_url = {rabbit}\n[oslo_messaging_notifications]\ndriver = messagingv2\n")
    results = checked("--nova-conf", str(nova))
    says, todo = results["warning", "nova.conf versioned_notifications.info"]
    assert "no consumer, " in says
    assert "rabbitmqctl set_policy" in todo
    conf = transport("cell1", rabbit)
    (tmp_path / "bridge.toml").write_text(conf)
    start_bridge(conf)
    deadline = time.monotonic() + 90
    while ("wrong", "cell1 stumble") in (results := checked(STUMBLE_CONFIG=str(tmp_path / "bridge.toml"))):
        assert time.monotonic() < deadline, results
    assert results["fine", "cell1"]


def checked(*words, **environment):
    """Return the results of `stumble check notifications` by level and subject."""
    command = [sys.executable, "-m", "stumble.cli", "check", "notifications", "--json", *words]
    done = subprocess.run(
        command, env=cli_environment(**environment), capture_output=True, text=True, check=False, timeout=120
    )
    findings = json.loads(done.stdout)["checks"][0]["findings"]
    return {(item["level"], item["subject"]): (item["says"], item["todo"]) for item in findings}


def transport(name, url, **more):
    lines = "".join(f"{key} = {value!r}\n" for key, value in more.items())
    return f'[[bridge.transports]]\nname = "{name}"\nurl = "{url}"\n{lines}'


def wait_for_queue(bridge):
    """Wait until the bridge has bound its queues: before that RabbitMQ drops the messages."""
    deadline = time.monotonic() + 90
    while "Reading notifications" not in (bridge.folder / "log").read_text():
        assert time.monotonic() < deadline, (bridge.folder / "log").read_text()
        time.sleep(0.1)


def check(events, cell):
    for event in events:
        assert event["instance_uuid"] == INSTANCE
        assert event["request_id"] == "req-5b6c791d-5709-4f36-8fbe-c3e02869e35d"
        assert event["source"]["signal"] == "instance.power_off"
        assert (event["phase"], event["host"], event["cell"]) == ("START", "host1", cell)


def test_unreachable_transport_does_not_stop_another_one(rabbit, start_bridge):
    config = transport("dead", "rabbit://guest:guest@127.0.0.1:9/") + transport("cell1", rabbit, cell="cell1")
    bridge = start_bridge(config)
    wait_for_queue(bridge)
    send(rabbit, 20)
    check(bridge.wait_for(20), "cell1")
    assert bridge.health() == (503, "dead is not connected to its server")
    assert (bridge.connected("cell1"), bridge.connected("dead")) == (True, False)
    assert bridge.stop() == 0
    send(rabbit, 5)  # RabbitMQ stores them in the bridge's queue
    bridge.start()
    check(bridge.wait_for(25), "cell1")


def test_readyz_depends_on_the_server_and_healthz_does_not(server, start_bridge):
    bridge = start_bridge(transport("cell1", server.url))
    wait_for_queue(bridge)
    bridge.wait_for_health(200, "all transports connected")
    server.ctl("stop_app")
    try:
        bridge.wait_for_health(503, "cell1 is not connected to its server")
        assert bridge.health("/healthz")[0] == 200
    finally:
        server.ctl("start_app")
    bridge.wait_for_health(200, "all transports connected")


def test_killed_bridge_loses_nothing_of_rabbitmq(rabbit, start_bridge):
    bridge = start_bridge(transport("cell1", rabbit, pool=f"p{uuid.uuid4().hex[:8]}"))
    wait_for_queue(bridge)
    for _ in range(2):
        send(rabbit, 200)
        bridge.stop(signal.SIGKILL)
        bridge.start()
    send(rabbit, 100)
    bridge.wait_for(500, distinct=True)


def documented_policies():
    """Return name, pattern and definition of each policy in the documentation."""
    text = "".join(page.read_text() for page in sorted(DOCS.glob("*.md")))
    policies = set(re.findall(r"rabbitmqctl set_policy (\S+) '(.+?)' '(.+?)' --apply-to queues", text))
    return [(name, pattern, json.loads(definition)) for name, pattern, definition in sorted(policies)]


def test_documented_policies_limit_every_queue_and_never_block_nova(server, start_bridge):
    bridge = start_bridge(transport("cell1", server.url))
    wait_for_queue(bridge)
    bridge.stop()  # while it is stopped, its queue fills, too
    policies = documented_policies()
    assert len(policies) == 2
    for name, pattern, definition in policies:
        small = {key: 20 if key == "max-length" else 20_000 for key in definition if key != "overflow"}
        server.ctl("set_policy", name, pattern, json.dumps(definition | small), "--apply-to", "queues")
        assert definition["overflow"] == "drop-head"  # a notifier repeats a rejected message endlessly
    send(server.url, 60)
    messages = server.queues()
    assert 0 < messages["stumble"] < 60
    assert messages["versioned_notifications.info"] == 20


def test_bridge_reads_notifications_that_kafka_received_before_its_start(kafka, start_bridge):
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("versioned_notifications.info", 1, 1)])["versioned_notifications.info"].result(30)
    url = f"kafka://{kafka}/"
    send(url, 30)
    pool = f"p{uuid.uuid4().hex[:8]}"
    bridge = start_bridge(transport("cell2", url, cell="cell2", pool=pool) + transport("dead", "kafka://127.0.0.1:9/"))
    check(bridge.wait_for(30), "cell2")
    bridge.wait_for_health(503, "dead is not connected to its server")
    bridge.stop(signal.SIGKILL)
    send(url, 5)
    bridge.start()
    bridge.wait_for(35, distinct=True)


def test_missing_transport_is_reported_in_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "stumble.cli", "bridge"],
        env={**cli_environment(), "STUMBLE_OUTBOX_DIR": str(tmp_path), "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No transport is configured" in done.stderr
    assert "Traceback" not in done.stderr
