"""Delivery from an emitter to a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from stumble.cli.root import run
from stumble.local.ports import free_port
from stumble.outbox import Envelope, OutboxWriter, pack_record
from stumble.outbox.folders import outbox_folders
from stumble.relay.rejected import read_rejected
from stumble.wire.codec import Decoder, decode_record, unframe
from stumble.wire.encoder import Encoder
from stumble.wire.headers import fingerprint_of, is_from_bridge, record_headers, relay_of
from stumble.wire.schemas import EVENT, PRODUCER_STATUS, load_schema
from stumble.wire.writer_schema import parse_writer_schema
from tests.integration.relay.helpers import drain, emitter, environment, event, numbers, running_relay, wait_for
from tests.support.messages import headers_of, key_of, value_of
from tests.support.serving import serving


@pytest.fixture
def prefix(new_topic: Callable[..., str]) -> str:
    prefix = f"{uuid.uuid4().hex[:8]}."
    new_topic(f"{prefix}instance-actions", partitions=3)
    new_topic(f"{prefix}instance-action-producers", partitions=1)
    return prefix


def test_event_arrives_with_key_headers_and_framing(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent_event = event(1, event_id="01890a5d-ac96-774b-bcce-b302099a8057", occurred_at=1_700_000_000_123_456)
    assert sender.emit(sent_event, traceparent=trace)
    with running_relay(outbox, kafka, prefix):
        (message,) = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 1)
    assert message.key() == sent_event["instance_uuid"].encode()
    expected = record_headers(EVENT, "nova-compute:cmp1", sent_event["event_id"], sent_event["occurred_at"], trace)
    assert message.headers() == [*expected, ("stumble_relay", os.uname().nodename.encode())]
    assert unframe(value_of(message)).fingerprint == EVENT.fingerprint
    decoded = Decoder(EVENT).decode(value_of(message))
    assert (decoded["cell"], decoded["host"], decoded["occurred_at"]) == ("cell1", "cmp1", sent_event["occurred_at"])


def test_order_of_a_folder_is_kept_and_the_folder_of_a_dead_process_is_removed(
    tmp_path: Path, kafka: str, prefix: str
) -> None:
    outbox = tmp_path / "outbox"
    script = (
        "import sys; from tests.integration.relay.helpers import emitter, event\n"
        "e = emitter(sys.argv[1])\n"
        "print(sum(e.emit(event(n, instance_uuid='00000000-0000-0000-0000-000000000001')) for n in range(3000)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(outbox)],
        capture_output=True, text=True, check=True, env=environment(kafka, prefix) | {"PYTHONPATH": _path()},
    )  # fmt: skip
    assert done.stdout.strip() == "3000"
    with running_relay(outbox, kafka, prefix) as relay:
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 3000)
        assert numbers(messages) == list(range(3000))
        wait_for(lambda: not outbox_folders(str(outbox)))
        assert relay.kill(signal.SIGTERM) == 0
        assert "Stopped after" in relay.text()
    statuses = drain(
        kafka,
        f"{prefix}instance-action-producers",
        lambda read: any(b"uid-" in key_of(m) and not _status(m)["alive"] for m in read),
    )
    last = [_status(m) for m in statuses if b"uid-" in key_of(m)][-1]
    assert (last["sent_total"], last["backlog_events"], last["alive"]) == (3000, 0, False)


def test_second_relay_exits_with_one_sentence(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    with running_relay(outbox, kafka, prefix) as first:
        wait_for(lambda: "Delivering the outboxes" in first.text())
        with running_relay(outbox, kafka, prefix) as second:
            assert second.process.wait(90) == 1
            (line,) = second.text().splitlines()
            assert f"process {first.process.pid}" in line
            assert "already serves" in line
        assert first.process.poll() is None


def test_status_is_sent_for_each_folder_and_for_the_relay(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox, labels={"rack": "r1"}, about={"tap": "on"})
    assert all(sender.emit(event(n)) for n in range(10))
    with running_relay(outbox, kafka, prefix, "--status-interval", "1"):
        statuses = drain(
            kafka,
            f"{prefix}instance-action-producers",
            lambda read: any(_status(m)["sent_total"] == 10 and key_of(m).startswith(b"cmp1/") for m in read),
        )
    status = next(_status(m) for m in reversed(statuses) if key_of(m).startswith(b"cmp1/"))
    assert status["process"].startswith(f"uid-{os.geteuid()}/nova-compute-")
    assert (status["tap"], status["durability"], status["labels"]) == ("on", "process", {"rack": "r1"})
    assert (status["alive"], status["backlog_events"], status["oldest_unsent_at"]) == (True, 0, None)
    assert (status["accepted_total"], status["refused_total"]) == (10, 0)
    assert any(key_of(m).endswith(b"/relay") for m in statuses)


def test_start_and_end_of_a_process_are_reported_immediately(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox, topic = tmp_path / "outbox", f"{prefix}instance-action-producers"

    def process_states(read: list[Message]) -> list[tuple[bool, bool, bool]]:
        statuses = [_status(m) for m in read if key_of(m).startswith(b"cmp1/uid-")]
        return [(one["alive"], one["starting"], one["ready_at"] is not None) for one in statuses]

    with running_relay(outbox, kafka, prefix, "--status-interval", "3600"):
        drain(kafka, topic, bool)  # after the first round of statuses, further ones are sent only on changes
        compute = emitter(outbox)
        compute.announce(starting=True)
        messages = drain(kafka, topic, lambda read: (True, True, False) in process_states(read))
        started_at = next(_status(m)["started_at"] for m in messages if key_of(m).startswith(b"cmp1/uid-"))
        assert started_at is not None
        compute.announce(starting=False, ready_at=time.time_ns() // 1000)
        drain(kafka, topic, lambda read: process_states(read)[-1:] == [(True, False, True)])
        del compute
        messages = drain(kafka, topic, lambda read: process_states(read)[-1:] == [(False, False, True)])
        assert _status([m for m in messages if key_of(m).startswith(b"cmp1/uid-")][-1])["started_at"] == started_at


def _status(message: Message) -> dict[str, Any]:
    return Decoder(PRODUCER_STATUS).decode(value_of(message))


def _path() -> str:
    return os.pathsep.join(path for path in sys.path if path)


def test_records_of_a_later_release_are_sent_with_their_schema(tmp_path: Path, kafka: str, prefix: str) -> None:
    """A driver may be newer than the relay: it writes its schema into the folder."""
    definition = json.loads(EVENT.json)
    definition["fields"].append({"name": "later", "type": ["null", "string"], "default": None, "maxBytes": 10})
    later = load_schema(json.dumps(definition), EVENT.version + 1)
    outbox = tmp_path / "outbox"
    writer = OutboxWriter(outbox, schemas={f"{later.fingerprint.hex()}.v{later.version}.avsc": later.json})
    sent_event = event(7, event_id="01890a5d-ac96-774b-bcce-b302099a8057", later="yes", host="cmp1")
    envelope = Envelope(later.fingerprint, 1, uuid.UUID(str(sent_event["event_id"])).bytes, b"key", b"svc:h")
    assert writer.append(pack_record(envelope, Encoder(json.loads(later.json)).encode(sent_event)), is_failure=False)
    with running_relay(outbox, kafka, prefix):
        (message,) = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 1)
    assert fingerprint_of(headers_of(message)) == unframe(value_of(message)).fingerprint == later.fingerprint
    assert dict(headers_of(message))["ce_type"] == b"stumble.InstanceActionEvent.v2"
    body = unframe(value_of(message)).body
    assert decode_record(EVENT, body, parse_writer_schema(later.json, EVENT))["attributes"] == {"n": "7"}


def test_unavailable_registry_is_waited_for(tmp_path: Path, kafka: str, prefix: str) -> None:
    requests: list[str] = []
    unavailable = threading.Event()
    unavailable.set()

    class Registry(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(self.path)
            body = b"{}" if unavailable.is_set() else b'{"id": 4711}'
            self.send_response(503 if unavailable.is_set() else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    outbox = tmp_path / "outbox"
    assert all(emitter(outbox).emit(event(n)) for n in range(20))
    with (
        serving(ThreadingHTTPServer(("127.0.0.1", 0), Registry)) as url,
        running_relay(outbox, kafka, prefix, STUMBLE_KAFKA__SCHEMA_REGISTRY_URL=url) as relay,
    ):
        wait_for(lambda: "schema registry" in relay.text())
        unavailable.clear()
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 20)
    assert f"/subjects/{prefix}instance-actions-value/versions" in requests
    assert {unframe(value_of(m)).schema_id for m in messages} == {4711}
    assert {fingerprint_of(headers_of(m)) for m in messages} == {EVENT.fingerprint}
    assert sorted(numbers(messages)) == list(range(20))


def test_metrics_export_backlog_and_progress(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox)
    assert all(sender.emit(event(n)) for n in range(20))
    port, unreachable = free_port(), "127.0.0.1:1"

    def health(name: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def metrics() -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        return {line.split("{")[0].split(" ")[0]: float(line.split()[-1]) for line in lines if line[0] != "#"}

    with running_relay(outbox, unreachable, prefix, "--metrics-port", str(port)):
        wait_for(lambda: metrics().get("stumble_relay_delivery_paused") == 1)
        assert health("healthz") == 200, "it is live although Kafka is unavailable"
        assert health("readyz") == 503
        wait_for(lambda: metrics().get("stumble_outbox_backlog_events") == 20)
        assert metrics()["stumble_outbox_backlog_bytes"] > 1000
        assert metrics()["stumble_outbox_oldest_unsent_seconds"] > 0
    with running_relay(outbox, kafka, prefix, "--metrics-port", str(port)):
        wait_for(lambda: metrics().get("stumble_relay_sent_events_total") == 20)
        wait_for(lambda: metrics().get("stumble_outbox_backlog_events") == 0)
        assert metrics()["stumble_relay_last_progress_timestamp_seconds"] > 1e9
        wait_for(lambda: metrics().get("stumble_relay_delivery_paused") == 0)


def test_events_of_any_host_arrive_marked_from_the_folder_of_a_bridge(tmp_path: Path, kafka: str, prefix: str) -> None:
    """A cloud whose Nova hosts have no part of stumble: one machine reports for all."""
    outbox = tmp_path / "outbox"
    sender = emitter(outbox, service="stumble-bridge", host="bridge1")
    assert all(sender.emit(event(n, host=f"cmp{n}")) for n in range(50))
    as_bridge = {"STUMBLE_RELAY_HOSTS": "bridge1", "STUMBLE_RELAY_BRIDGE_USERS": str(os.geteuid())}
    with running_relay(outbox, kafka, prefix, "--status-interval", "1", STUMBLE_HOST="bridge1", **as_bridge):
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 50)
        statuses = drain(kafka, f"{prefix}instance-action-producers", lambda read: len({key_of(m) for m in read}) == 2)
    assert sorted(numbers(messages)) == list(range(50))
    assert {(relay_of(headers_of(m)), is_from_bridge(headers_of(m))) for m in messages} == {("bridge1", True)}
    marked = {_status(m)["process"] == "relay": is_from_bridge(headers_of(m)) for m in statuses}
    assert marked == {True: False, False: True}


def test_event_of_a_foreign_host_is_rejected_counted_and_listed(tmp_path: Path, kafka: str, prefix: str) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox, host="cmp2")
    assert all(sender.emit(event(n, host="cmp1" if n % 2 else "cmp2")) for n in range(50))
    topic = f"{prefix}instance-action-producers"
    with running_relay(outbox, kafka, prefix, "--status-interval", "1", STUMBLE_HOST="relay-host") as relay:
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 25)
        statuses = drain(
            kafka, topic, lambda read: len({m.key() for m in read if _status(m)["rejected_total"] == 25}) == 2
        )
        assert "`hosts` in [relay] does not allow" in relay.text()
    assert sorted(numbers(messages)) == list(range(1, 50, 2))
    counted = {one["process"]: one for one in map(_status, statuses) if one["rejected_total"] == 25}
    assert counted.pop("relay")["host"] == "relay-host"
    (status,) = counted.values()
    assert (status["host"], status["attributes"]["claimed_host"]) == ("relay-host", "cmp2")
    assert len(list(read_rejected(outbox / "relay"))) == 25


def test_rejected_events_are_sent_again_after_hosts_was_corrected(
    tmp_path: Path, kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = tmp_path / "outbox"
    sender = emitter(outbox, host="cmp1")
    assert all(sender.emit(event(n, host="cmp1")) for n in range(50))
    with running_relay(outbox, kafka, prefix, STUMBLE_RELAY_HOSTS="cmp1.example.org") as relay:
        wait_for(lambda: len(list(read_rejected(outbox / "relay"))) == 50)
        assert relay.kill(signal.SIGTERM) == 0
    monkeypatch.setenv("STUMBLE_RELAY_HOSTS", "cmp1")
    assert run(["outbox", "resend", "--outbox-dir", str(outbox)]) == 0
    with running_relay(outbox, kafka, prefix, STUMBLE_RELAY_HOSTS="cmp1"):
        messages = drain(kafka, f"{prefix}instance-actions", lambda read: len(read) == 50)
    assert sorted(numbers(messages)) == list(range(50))
