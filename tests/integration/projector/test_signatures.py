"""Signed records: what no relay signed, or another host's relay, is not stored and stops nothing."""

from __future__ import annotations

import json
import time
import uuid

import pytest

from stumble.emitter import Emitter
from stumble.local.ports import free_port
from stumble.store.connect import connect
from stumble.testing.events import event, failure, framed
from stumble.wire import codec
from stumble.wire.schemas import PRODUCER_STATUS
from stumble.wire.topics import partition_key
from tests.support.asking import get
from tests.support.command import stumble
from tests.support.dead_letters import records, run_dlq
from tests.support.projection import eventually
from tests.support.signing import new_key, write_public_keys

pytestmark = pytest.mark.timeout(600)
#: A projector reads a changed file of public keys at the first record after a second.
READ_AGAIN_SECONDS = 1.2


@pytest.fixture
def key_a(tmp_path):
    return new_key(tmp_path, "host-a")


@pytest.fixture
def key_b(tmp_path):
    return new_key(tmp_path, "host-b")


@pytest.fixture
def public_keys(tmp_path, key_a, key_b):
    return write_public_keys(tmp_path / "keys.toml", key_a, key_b)


@pytest.fixture
def verified(testbed, public_keys):
    """Return the settings of a consumer that verifies."""
    return {"STUMBLE_KAFKA__PUBLIC_KEYS_FILE": str(public_keys)}


def event_of(host, **fields):
    return event(host=host, instance_uuid=str(uuid.uuid4()), failure=failure(), phase="ERROR", **fields)


def send(testbed, key, one, **options):
    """Send an event, signed unless `key` is None."""
    value, partition = framed(one), partition_key(one)
    headers = [("ce_id", one["event_id"].encode())]
    if key is not None:
        headers = key.sign(testbed.topic, partition, value, headers)
    testbed.send(value, partition, headers=headers, **options)


def stored_ids(testbed):
    with connect(testbed.url) as session:
        return {row[0] for row in session.execute("select event_id::text from events")}


def test_foreign_and_unsigned_events_are_dead_letters_until_the_key_may_name_the_host(
    testbed, key_a, key_b, public_keys, verified
):
    honest, foreign, unsigned = event_of("host-a"), event_of("host-b"), event_of("host-a")
    send(testbed, key_a, honest)
    send(testbed, key_a, foreign)
    send(testbed, None, unsigned)
    testbed.flush()
    process = testbed.start(**verified)
    eventually(testbed.lag)
    process.terminate()
    process.wait(60)
    assert stored_ids(testbed) == {honest["event_id"]}
    listed = json.loads(run_dlq(testbed, "ls", "--stage", "signature", "--format", "json"))["items"]
    reasons = " ".join(one["reason"] for one in listed)
    assert len(listed) == 2
    assert "is not valid for host 'host-b'" in reasons
    assert "has no signature" in reasons

    audited = stumble("audit", "--json", **testbed.environment(**verified))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert json.loads(audited.stdout)["left_out"] == {"records without a valid signature": 2}
    rebuilt = stumble("store", "rebuild", "--from-nothing", **testbed.environment(**verified))
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    assert stored_ids(testbed) == {honest["event_id"]}

    testbed.start(**verified)
    line = key_a.line.replace('"host-a"', '"host-a", "host-b"')
    write_public_keys(public_keys, key_b, more=line)
    outlook = stumble("dlq", "redrive", **testbed.environment(**verified))
    assert "1 sent again" in outlook.stdout, outlook.stdout + outlook.stderr
    eventually(lambda: {foreign["event_id"]} - stored_ids(testbed))
    assert unsigned["event_id"] not in stored_ids(testbed)


def test_flood_of_unsigned_records_stops_no_partition_and_does_not_delay_signed_events(testbed, key_a, verified):
    port = str(free_port())
    process = testbed.start("projector", "--metrics-port", port, STUMBLE_PROJECTOR_BREAKER_RUN="3", **verified)
    honest = [event_of("host-a") for _ in range(40)]
    for partition in range(testbed.partitions):  # a damaged record with a valid signature does count
        damaged, key = b"junk", str(uuid.uuid4()).encode()
        testbed.send(damaged, key, headers=key_a.sign(testbed.topic, key, damaged), partition=partition)
    for number in range(500):
        if number % 2:
            send(testbed, None, event_of("host-a"), partition=number % testbed.partitions)
        else:
            testbed.send(b"junk %d" % number, b"x", partition=number % testbed.partitions)
    for one in honest:
        send(testbed, key_a, one)
    testbed.flush()
    testbed.wait_until_stored(honest)
    metrics = get(f"http://127.0.0.1:{port}/metrics").text
    assert 'stumble_projector_signature_rejected_total{reason="unsigned"} 500.0' in metrics
    assert "stumble_projector_blocked_partitions 0.0" in metrics
    assert len(records(testbed, testbed.settings.topics.dlq)) == 20 + testbed.partitions
    assert "Rejected" in testbed.log_of(process)


def test_new_key_is_accepted_and_an_old_one_rejected_without_a_restart(testbed, tmp_path, key_a, public_keys, verified):
    new = new_key(tmp_path, "host-a")
    process = testbed.start(**verified)
    first, second, third = (event_of("host-a") for _ in range(3))
    send(testbed, key_a, first)
    testbed.flush()
    eventually(lambda: {first["event_id"]} - stored_ids(testbed))
    write_public_keys(public_keys, key_a, new)
    time.sleep(READ_AGAIN_SECONDS)
    send(testbed, new, second)
    testbed.flush()
    eventually(lambda: {second["event_id"]} - stored_ids(testbed))
    write_public_keys(public_keys, new)
    time.sleep(READ_AGAIN_SECONDS)
    send(testbed, key_a, third)
    testbed.flush()
    eventually(testbed.lag)
    assert stored_ids(testbed) == {first["event_id"], second["event_id"]}
    assert process.poll() is None


def test_status_is_stored_only_if_a_key_of_its_host_signed_it(testbed, key_a, verified):
    topic = testbed.settings.topics.producers

    def send_status(key, host, process, record_host=None, **attributes):
        status = {"host": host, "process": process, "reported_at": 1, "alive": True, "attributes": attributes}
        value = codec.frame_single_object(PRODUCER_STATUS, codec.encode_record(PRODUCER_STATUS, status))
        record_key = f"{record_host or host}/{process}".encode()
        headers = [] if key is None else key.sign(topic, record_key, value)
        testbed.send_to(topic, value, record_key, headers=headers)

    send_status(None, "host-a", "unsigned")
    send_status(key_a, "host-b", "foreign")
    send_status(key_a, "host-a", "replaces-a-foreign-one", record_host="host-b")
    send_status(key_a, "host-a", "of-a-foreign-relay", relay_host="host-b")
    send_status(key_a, "host-a", "honest", relay_host="host-a")
    testbed.flush()
    port = str(free_port())
    testbed.start("projector", "--metrics-port", port, **verified)
    with connect(testbed.url) as session:
        rows = "select process from producers order by process"
        eventually(lambda: "" if session.execute(rows).fetchall() else "nothing stored")
        assert session.execute(rows).fetchall() == [("honest",)]
    metrics = get(f"http://127.0.0.1:{port}/metrics").text
    assert 'signature_rejected_total{reason="unsigned"} 1.0' in metrics
    assert 'signature_rejected_total{reason="foreign_host"} 3.0' in metrics


def test_relay_signs_events_and_statuses_which_the_projector_accepts(testbed, tmp_path, key_a, verified):
    outbox = tmp_path / "outbox"
    relay = {"STUMBLE_KAFKA__SIGNING_KEY_FILE": str(key_a.created.path), "STUMBLE_HOST": "host-a"}
    testbed.start("relay", "--outbox-dir", str(outbox), "--status-interval", "1", **relay)
    testbed.start(**verified)
    emitter, sent = Emitter(outbox, service="nova-compute", host="host-a"), event_of("host-a")
    assert emitter.emit(sent)
    eventually(lambda: {sent["event_id"]} - stored_ids(testbed))
    with connect(testbed.url) as session:
        count = "select count(*) from producers where host = 'host-a'"
        eventually(lambda: "" if session.execute(count).fetchone() == (2,) else "no status of relay and process")
    assert records(testbed, testbed.settings.topics.dlq) == []


def test_role_without_a_usable_key_ends_with_one_sentence(testbed, tmp_path, key_a):
    key_a.created.path.chmod(0o644)
    private = {"STUMBLE_KAFKA__SIGNING_KEY_FILE": str(key_a.created.path)}
    roles = {
        testbed.start("relay", "--outbox-dir", str(tmp_path / "outbox"), **private): "chmod 0600",
        testbed.start(STUMBLE_KAFKA__PUBLIC_KEYS_FILE=str(tmp_path / "missing")): "No such file or directory",
    }
    for process, text in roles.items():
        assert process.wait(60) == 1
        assert text in testbed.log_of(process)
        assert "Traceback" not in testbed.log_of(process)


def test_audit_reports_and_removes_what_a_key_signed_that_is_no_longer_valid(
    testbed, key_a, key_b, public_keys, verified
):
    trusted, stolen = event_of("host-a"), event_of("host-b")
    send(testbed, key_a, trusted)
    send(testbed, key_b, stolen)
    testbed.flush()
    process = testbed.start(**verified)
    eventually(lambda: {trusted["event_id"], stolen["event_id"]} - stored_ids(testbed))
    process.terminate()
    process.wait(60)
    write_public_keys(public_keys, key_a, more=key_b.line.replace(" }", ", valid_until = 2020-01-01T00:00:00Z }"))
    audited = stumble("audit", "--json", **testbed.environment(**verified))
    assert audited.returncode == 1
    assert json.loads(audited.stdout)["differences"]["extra"]["event"] == 1
    repaired = stumble("audit", "--repair", **testbed.environment(**verified))
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert stored_ids(testbed) == {trusted["event_id"]}


def test_audit_does_not_judge_what_a_key_signed_that_its_host_lacks(testbed, key_a, key_b, public_keys, verified):
    honest = [event_of("host-a"), event_of("host-b")]
    for key, one in zip((key_a, key_b), honest, strict=True):
        send(testbed, key, one)
    testbed.flush()
    process = testbed.start(**verified)
    eventually(lambda: {one["event_id"] for one in honest} - stored_ids(testbed))
    process.terminate()
    process.wait(60)
    write_public_keys(public_keys, key_a)
    audited = stumble("audit", "--json", **testbed.environment(**verified))
    document = json.loads(audited.stdout)
    assert (audited.returncode, document["differences"], document["unjudged"]) == (3, {}, 1)
    for command in (("audit", "--repair"), ("store", "rebuild", "--from-nothing")):
        refused = stumble(*command, **testbed.environment(**verified))
        assert refused.returncode == 1
        assert "Nothing was changed" in refused.stderr
    assert stored_ids(testbed) == {one["event_id"] for one in honest}


def test_repair_without_public_keys_adds_no_unsigned_event(testbed, key_a, verified):
    honest, forged = event_of("host-a"), event_of("host-a")
    send(testbed, key_a, honest)
    send(testbed, None, forged)
    testbed.flush()
    process = testbed.start(**verified)
    eventually(testbed.lag)
    process.terminate()
    process.wait(60)
    refused = stumble("audit", "--repair", **testbed.environment())
    assert refused.returncode == 1
    assert "this host has no public keys" in refused.stderr
    assert stored_ids(testbed) == {honest["event_id"]}
