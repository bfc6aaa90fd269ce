"""The relay under faults: nothing is lost, only the affected events wait, and one log line gives the reason."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from stumble.local.kafka import LocalKafka
from stumble.local.ports import free_port
from stumble.outbox.folders import outbox_folders
from stumble.relay import build_relay
from stumble.relay.rejected import read_rejected
from stumble.settings.base import load_settings
from stumble.wire.codec import Decoder
from stumble.wire.schemas import PRODUCER_STATUS
from tests.integration.relay.helpers import (
    drain,
    emitter,
    environment,
    event,
    numbers,
    running_relay,
    wait_for,
)


@pytest.fixture
def prefix(new_topic: Callable[..., str]) -> str:
    prefix = f"{uuid.uuid4().hex[:8]}."
    new_topic(f"{prefix}instance-actions", partitions=3)
    new_topic(f"{prefix}instance-action-producers", partitions=1)
    return prefix


def test_unreachable_broker_loses_nothing_and_is_logged_once(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    assert all(sender.emit(event(n)) for n in range(100))
    port = free_port()
    wrong_address = f"127.0.0.1:{port}"
    # A server listens, but it isn't a broker.
    with socket.create_server(("127.0.0.1", port)), running_relay(outbox, wrong_address, prefix) as relay:
        wait_for(lambda: "Delivering the outboxes" in relay.text())
        time.sleep(3)
        assert relay.kill(signal.SIGTERM) == 0
    with running_relay(outbox, wrong_address, prefix) as relay:  # now no server listens
        wait_for(lambda: "cannot be reached" in relay.text())
        assert all(sender.emit(event(n)) for n in range(100, 200))
        time.sleep(2)
        assert relay.text().count("cannot be reached") == 1
        assert relay.kill(signal.SIGTERM) == 0
    with running_relay(outbox, kafka, prefix):
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) >= 200)
    assert sorted(numbers(messages)) == list(range(200))


def test_no_event_is_lost_when_the_broker_is_killed(tmp_path: Path, own_kafka: LocalKafka) -> None:
    outbox = tmp_path / "outbox"
    kafka = own_kafka.bootstrap_servers
    _create(kafka, "instance-actions", "instance-action-producers")
    sender = emitter(outbox)
    with running_relay(outbox, kafka, "") as relay:
        assert all(sender.emit(event(n)) for n in range(3000))
        drain(kafka, "instance-actions", lambda read: len(read) >= 100)
        own_kafka.process.stop(signal.SIGKILL)
        assert all(sender.emit(event(n)) for n in range(3000, 6000))
        wait_for(lambda: "cannot be reached" in relay.text())
        assert all(sender.emit(event(n)) for n in range(6000, 7000))
        own_kafka.start()
        messages = drain(kafka, "instance-actions", lambda read: len(set(numbers(read))) == 7000)
        wait_for(lambda: "delivery continues" in relay.text())
    assert set(numbers(messages)) == set(range(7000))


def test_no_event_is_lost_when_the_relay_is_killed_repeatedly(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    script = (
        "import sys, time; from tests.integration.relay.helpers import emitter, event\n"
        "e = emitter(sys.argv[1], max_bytes=64 << 20)\n"
        "for n in range(6000):\n"
        "    assert e.emit(event(n))\n"
        "    n % 20 or time.sleep(0.01)\n"
    )
    env = environment(kafka, prefix) | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen([sys.executable, "-c", script, str(outbox)], env=env) as service:
        kills = 0
        while service.poll() is None:
            with running_relay(outbox, kafka, prefix):  # killed at the end of the block
                time.sleep(1.0 + kills % 3 * 0.7)
            kills += 1
        assert service.returncode == 0
    assert kills >= 2
    with running_relay(outbox, kafka, prefix):
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(set(numbers(read))) == 6000)
        wait_for(lambda: not outbox_folders(str(outbox)))
    assert set(numbers(messages)) == set(range(6000))


def test_suspended_relay_continues_without_loss_or_repeats(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    with running_relay(outbox, kafka, prefix) as relay:
        assert sender.emit(event(0))
        drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 1)
        relay.process.send_signal(signal.SIGSTOP)
        assert all(sender.emit(event(n)) for n in range(1, 500))
        time.sleep(1)
        relay.process.send_signal(signal.SIGCONT)
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 500)
    assert sorted(numbers(messages)) == list(range(500))


def test_record_that_the_broker_rejects_is_stored_and_blocks_nothing(
    tmp_path: Path, kafka: str, new_topic: Callable[..., str]
) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    new_topic(f"{prefix}instance-actions", partitions=2, **{"max.message.bytes": "4000"})
    new_topic(f"{prefix}instance-action-producers", partitions=1)
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    random_text = os.urandom(8000).hex()
    large = {"failure": {"exception": "X", "traceback": random_text}, "phase": "ERROR"}
    for n in range(300):
        assert sender.emit(event(n, **(large if n in {17, 150} else {})))
    with running_relay(outbox, kafka, prefix) as relay:
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(set(numbers(read))) == 298)
        wait_for(lambda: len(list(read_rejected(outbox / "relay"))) == 2)
        assert sender.emit(event(300))
        drain(kafka, f"{prefix}instance-actions", lambda read: len(set(numbers(read))) == 299)
        assert relay.text().count("Kafka rejected ") >= 1
        assert relay.kill(signal.SIGTERM) == 0
    assert set(numbers(messages)) == set(range(300)) - {17, 150}
    rows = list(read_rejected(outbox / "relay"))
    assert all("too large" in row["reason"].lower() for row in rows)
    listed = _cli(outbox, "ls", "--format", "json")
    assert [folder["rejected"] for folder in listed["folders"]] == [2]
    assert {row["event_id"] for row in listed["rejected"]} == {row["event_id"] for row in rows}


def test_delivery_waits_until_a_missing_topic_exists(tmp_path: Path, kafka: str, new_topic: Callable[..., str]) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    outbox = tmp_path / "outbox"
    assert all(emitter(outbox).emit(event(n)) for n in range(50))
    with running_relay(outbox, kafka, prefix) as relay:
        wait_for(lambda: "instance-actions does not exist" in relay.text())
        assert relay.text().count("instance-actions does not exist") == 1
        new_topic(f"{prefix}instance-actions", partitions=2)
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(set(numbers(read))) == 50, 90)
    assert set(numbers(messages)) == set(range(50))


def test_damaged_bytes_are_quarantined_and_the_rest_is_delivered(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    assert all(sender.emit(event(n)) for n in range(100))
    (folder,) = outbox_folders(str(outbox))
    segment = next(Path(folder.path).glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF
    segment.write_bytes(data)
    with running_relay(outbox, kafka, prefix, "--status-interval", "1") as relay:
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 99)
        wait_for(lambda: "quarantine" in relay.text())
        of_relay = drain(
            kafka, f"{prefix}instance-action-producers", lambda read: any(_quarantined(m) == 1 for m in read)
        )
    assert {_quarantined(message) for message in of_relay} <= {None, 0, 1}
    assert len(set(numbers(messages))) == 99
    (quarantined,) = (outbox / "relay" / "quarantine").iterdir()
    assert quarantined.read_bytes() in bytes(data)


def test_folder_of_a_newer_format_does_not_stop_other_folders(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    newer_format, good = emitter(outbox), emitter(outbox, service="nova-api")
    assert newer_format.emit(event(1))
    (folder,) = outbox_folders(str(outbox))
    segment = next(Path(folder.path).glob("*.seg"))
    data = bytearray(segment.read_bytes())
    data[8] = 99
    segment.write_bytes(data)
    assert good.emit(event(2))
    with running_relay(outbox, kafka, prefix) as relay:
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 1)
        assert numbers(messages) == [2]
        wait_for(lambda: "upgrade the relay" in relay.text())
        assert relay.text().count("upgrade the relay") == 1


def _quarantined(message: Message) -> int | None:
    """Return how many damaged records a relay's own status counts; None if it is the status of a folder."""
    status = Decoder(PRODUCER_STATUS).decode(message.value() or b"")
    return int(status["quarantined_total"]) if status["process"] == "relay" else None


def _create(kafka: str, *topics: str) -> None:
    client = AdminClient({"bootstrap.servers": kafka})
    for future in client.create_topics([NewTopic(topic, 3, 1) for topic in topics]).values():
        future.result(30)


def _cli(outbox: Path, *words: str) -> dict[str, list[dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, "-m", "stumble.cli", "outbox", *words, "--outbox-dir", str(outbox)],
        capture_output=True,
        text=True,
        check=True,
        env=environment("unused:1", ""),
    )
    return json.loads(done.stdout)


def test_delivery_waits_until_the_right_is_granted(tmp_path: Path) -> None:
    """When the right is granted later, every event is delivered: a missing right is not a fault of the record."""
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    broker = LocalKafka(tmp_path / "kafka", heap="256m", settings=settings)
    try:
        kafka = broker.start()
        _create(kafka, "instance-actions", "instance-action-producers")
        admin = AdminClient({"bootstrap.servers": kafka})
        rule = (ResourceType.TOPIC, "instance-actions", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*")
        denied = AclBinding(*rule, AclOperation.WRITE, AclPermissionType.DENY)
        for future in admin.create_acls([denied]).values():
            future.result(30)
        outbox = tmp_path / "outbox"
        sender = emitter(outbox)
        assert all(sender.emit(event(n)) for n in range(50))
        with running_relay(outbox, kafka, "") as relay:
            wait_for(lambda: "not allowed" in relay.text())
            assert sender.emit(event(50))
            time.sleep(1)
            assert relay.text().count("not allowed") == 1
            all_rules = AclBindingFilter(*rule, AclOperation.ANY, AclPermissionType.ANY)
            for future in admin.delete_acls([all_rules]).values():
                future.result(30)
            messages = drain(kafka, "instance-actions", lambda read: len(set(numbers(read))) == 51)
            assert "Kafka rejected" not in relay.text()
        assert set(numbers(messages)) == set(range(51))
    finally:
        broker.stop()


def test_producer_with_a_fatal_error_is_replaced(
    tmp_path: Path, kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """librdkafka reports some errors of an idempotent producer as fatal: only a new producer helps."""
    monkeypatch.setenv("STUMBLE_RELAY_HOSTS", "cmp1")
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    assert all(sender.emit(event(n)) for n in range(4000))
    relay = build_relay(load_settings(outbox_dir=outbox, kafka={"bootstrap_servers": kafka, "topic_prefix": prefix}))
    for _ in range(3):
        relay.run_once()
    relay.sender.broken = True
    deadline = time.monotonic() + 90
    while any(tail.backlog[0] for tail in relay.tails.all()) and time.monotonic() < deadline:
        relay.run_once()
    relay.stop()
    relay.run()
    messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(set(numbers(read))) == 4000)
    assert set(numbers(messages)) == set(range(4000))


def test_directory_without_access_for_the_relay_is_reported(tmp_path: Path) -> None:
    """For example nova-manage wrote as root, and the relay runs as a user without access."""
    if os.geteuid():
        pytest.skip("only root can be two users")
    outbox = tmp_path / "outbox"
    assert emitter(outbox).emit(event(1))
    for path in [tmp_path, *tmp_path.parents]:
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)
    outbox.chmod(0o777)
    script = f"""
import os
from stumble.relay import build_relay
from stumble.settings.base import load_settings
relay = build_relay(load_settings(outbox_dir={str(outbox)!r}, kafka={{"bootstrap_servers": "127.0.0.1:9"}}))
os.setgroups([]); os.setgid(65534); os.setuid(65534)  # after the imports: nobody may lack access to the modules
relay.run_once()
assert not relay.tails.all()
"""
    env = environment("unused:1", "")
    done = subprocess.run([sys.executable, "-c", script], check=True, env=env, capture_output=True, text=True)
    assert f"cannot read {outbox / 'uid-0'}" in done.stderr
    assert "add its user to the group" in done.stderr
