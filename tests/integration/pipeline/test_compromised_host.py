"""Host cmp1 belongs to an attacker: what he can and cannot do to the events, statuses and requests of host cmp2.

The relays, the projector, the store and the broker are real; each test gives the attacker another part of the host.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from stumble.local.ports import free_port
from stumble.testing.events import failure
from stumble.wire import codec
from stumble.wire.schemas import EVENT
from tests.support.asking import get
from tests.support.command import stumble
from tests.support.dead_letters import run_dlq
from tests.support.projection import eventually
from tests.support.secure import Authority, SecureKafka
from tests.support.signing import new_key, write_public_keys
from tests.support.two_hosts import HOSTS, Attacker, TwoHosts, event_of, now_us

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("compromised-host")]
TEN_YEARS = 3650 * 86_400
#: The clock of a host without a battery, a day after it was switched on.
SINCE_1970 = 86_400 - int(time.time())
#: Seconds; the relays of these tests report every second, those of an installation every 30 of 45.
RESTART_CONFIRMATION = 6
QUICK_CLOCK = {"STUMBLE_CLOCK__SETTLE": "1s", "STUMBLE_CLOCK__CHECK_INTERVAL": "0.3s"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    kafka = SecureKafka(tmp_path_factory.mktemp("kafka"), authority, [*HOSTS, "projector"])
    try:
        kafka.server.start()
        yield kafka
    finally:
        kafka.server.stop()


@pytest.fixture
def cloud(broker: SecureKafka, store_url: str, tmp_path: Path) -> Iterator[TwoHosts]:
    created = TwoHosts(broker, store_url, tmp_path)
    yield created
    created.testbed.stop()


def test_files_in_the_outbox_of_a_host_cannot_name_another_host(cloud: TwoHosts) -> None:
    honest = [event_of(host, failure=failure(), phase="ERROR") for host in HOSTS]
    forged = event_of("cmp2", failure=failure(), phase="ERROR")
    emitters = [cloud.emitter(host) for host in HOSTS]
    forging = cloud.emitter("cmp1", named_host="cmp2")
    assert forging.emit(forged)
    assert all(emitter.emit(one) for emitter, one in zip(emitters, honest, strict=True))
    for host in HOSTS:
        cloud.start_relay(host)
    cloud.start("projector", "projector")
    cloud.wait_until_stored(*honest)
    cloud.wait_for_processes("cmp1", 3)
    cloud.wait_for_processes("cmp2", 2)
    assert cloud.stored_ids() == {one["event_id"] for one in honest}
    assert set(cloud.processes_of("cmp2").values()) == {"cmp2"}
    assert set(cloud.processes_of("cmp1").values()) == {"cmp1"}
    claimed = "select host from producers where status->'attributes'->>'claimed_host' = 'cmp2'"
    assert cloud.rows(claimed) == [("cmp1",)]
    listed = stumble("outbox", "export", "--rejected", STUMBLE_OUTBOX_DIR=str(cloud.outbox("cmp1"))).stdout
    assert len(listed.splitlines()) == 1
    assert "it names the host 'cmp2'" in listed


def test_kafka_credentials_of_a_relay_permit_events_of_any_host_and_nothing_but_writing(cloud: TwoHosts) -> None:
    attacker, forged = Attacker(cloud), event_of("cmp2", failure=failure(), phase="ERROR")
    cloud.start("projector", "projector")
    attacker.write_event(forged, relay="cmp2")
    assert attacker.errors() == []
    cloud.wait_until_stored(forged)  # only signatures prevent this

    topics, denied = cloud.topics, "TOPIC_AUTHORIZATION_FAILED"
    every = (topics.actions, topics.producers, topics.failures, topics.outcomes, topics.dlq)
    for topic in (topics.failures, topics.outcomes, topics.dlq):
        attacker.write(topic, b"forged")
        assert attacker.errors() == [denied], topic
    for topic in every:
        assert attacker.read(topic) == denied, topic
        # The client finds no leader of a topic that it may not describe.
        assert set(attacker.change(topic).values()) <= {denied, "_NOENT"}, topic
    assert attacker.ask(lambda admin: admin.create_topics([NewTopic(f"{topics.actions}.2", 1, 1)])) == denied
    rule = AclBinding(
        *(ResourceType.TOPIC, topics.actions, ResourcePatternType.LITERAL, "User:cmp1", "*"),
        *(AclOperation.ALL, AclPermissionType.ALLOW),
    )
    assert attacker.ask(lambda admin: admin.create_acls([rule])) == "CLUSTER_AUTHORIZATION_FAILED"


def test_forged_restart_of_a_host_interrupts_its_requests_only_while_its_own_relay_is_silent(cloud: TwoHosts) -> None:
    attacker, emitter = Attacker(cloud), cloud.emitter("cmp2")
    step: dict[str, Any] = {
        "signal": "event_start",
        "scope": "STEP",
        "action": "suspend",
        "step": "compute_suspend_instance",
    }
    working = event_of("cmp2", **step)
    assert emitter.emit(working)
    relay = cloud.start_relay("cmp2")
    confirmation = {"STUMBLE_CLOCK__RESTART_CONFIRMATION": f"{RESTART_CONFIRMATION}s"}
    cloud.start("projector", "projector", **QUICK_CLOCK, **confirmation)
    cloud.wait_for_outcome(working, "IN_PROGRESS")
    cloud.wait_for_processes("cmp2", 2)
    started = "select process, (extract(epoch from started_at) * 1e6)::bigint from producers where process <> 'relay'"
    ((compute, truly_started_at),) = cloud.rows(started)

    def forge_restart(started_at: int) -> None:
        """Report in the name of cmp2's relay that its nova-compute has ended and another one has started."""
        attacker.write_status("cmp2", compute, alive=False, started_at=truly_started_at)
        attacker.write_status("cmp2", "uid-1/nova-compute-2", alive=True, started_at=started_at, ready_at=started_at)
        attacker.write_status("cmp2", "relay", service="stumble-relay", alive=True)
        assert attacker.errors() == []
        time.sleep(0.3)

    started_at, deadline = now_us(), time.monotonic() + RESTART_CONFIRMATION + 4
    while time.monotonic() < deadline:
        forge_restart(started_at)
    cloud.wait_for_processes("cmp2", 3)
    assert cloud.outcome(working) == "IN_PROGRESS"
    relay.kill()
    relay.wait(60)
    started_at, deadline = now_us(), time.monotonic() + 60
    while cloud.outcome(working) != "FAILED" and time.monotonic() < deadline:
        forge_restart(started_at)
    assert cloud.rows("select exception from failures") == [("InterruptedByRestart",)]
    end = step | {"signal": "event_finish", "phase": "END"}
    assert emitter.emit(event_of("cmp2", **{name: working[name] for name in ("instance_uuid", "request_id")}, **end))
    cloud.start_relay("cmp2")
    cloud.wait_for_outcome(working, "SUCCEEDED")  # a later event of the request corrects what was concluded


def test_bad_records_block_only_their_partition_until_an_operator_lets_them_through(cloud: TwoHosts) -> None:
    attacker, emitter = Attacker(cloud), cloud.emitter("cmp2")
    projector = cloud.start("projector", "projector")
    cloud.start_relay("cmp2")
    attacked = 0
    for number in range(500):
        attacker.write(cloud.topics.actions, b"junk %d" % number, partition=attacked)
    assert attacker.errors() == []
    honest = [event_of("cmp2") for _ in range(40)]
    for one in honest:
        assert emitter.emit(one)
    eventually(lambda: "" if "in a row cannot be read" in cloud.testbed.log_of(projector) else "not blocked")
    other_partitions = cloud.testbed.partitions - 1
    caught_up = "select count(*) from offsets where next_offset > 0 and kafka_partition <> %s"
    eventually(lambda: "" if cloud.rows(caught_up, attacked) == [(other_partitions,)] else "others wait")
    eventually(lambda: "" if re.search(r"^partition 0: 50 of", cloud.testbed.lag()) else cloud.testbed.lag())
    assert 0 < len(cloud.stored_ids()) < len(honest)
    run_dlq(cloud.testbed, "let-through", "--partition", str(attacked))
    cloud.wait_until_stored(*honest)
    assert projector.poll() is None


def test_records_without_a_signature_of_the_named_host_are_not_stored_and_stop_nothing(
    cloud: TwoHosts, tmp_path: Path
) -> None:
    keys = {host: new_key(tmp_path, host) for host in HOSTS}
    public_keys = write_public_keys(tmp_path / "public-keys.toml", *keys.values())
    attacker, stolen = Attacker(cloud), keys["cmp1"]
    emitters = {host: cloud.emitter(host) for host in HOSTS}
    for host in HOSTS:
        cloud.start_relay(host, STUMBLE_KAFKA__SIGNING_KEY_FILE=str(keys[host].created.path))
    port = str(free_port())
    cloud.start("projector", "projector", "--metrics-port", port, STUMBLE_KAFKA__PUBLIC_KEYS_FILE=str(public_keys))
    earlier = [event_of(host) for host in HOSTS]
    assert all(emitters[one["host"]].emit(one) for one in earlier)
    cloud.wait_until_stored(*earlier)
    cloud.wait_for_processes("cmp2", 2)
    honest_processes = cloud.processes_of("cmp2")

    for key, relay in ((None, "cmp2"), (stolen, "cmp2"), (stolen, "cmp1")):
        attacker.write_event(event_of("cmp2"), key, relay)
    attacker.write_event(event_of("cmp1"))
    for key in (None, stolen):
        attacker.write_status("cmp2", "forged", key, alive=True, started_at=now_us())
        attacker.write(cloud.topics.producers, None, b"cmp2/relay", key, "cmp2")
    for number in range(500):
        attacker.write(cloud.topics.actions, b"junk %d" % number, partition=number % cloud.testbed.partitions)
    assert attacker.errors() == []
    later = [event_of(host) for host in HOSTS for _ in range(10)]
    assert all(emitters[one["host"]].emit(one) for one in later)
    cloud.wait_until_stored(*later)
    eventually(cloud.testbed.lag)

    def unread() -> str:
        """Return the counters until the projector has read all forged statuses, too."""
        text = get(f"http://127.0.0.1:{port}/metrics").text
        counters = [line for line in text.splitlines() if "signature_rejected_total{" in line]
        rejected = {'reason="unsigned"} 504.0', 'reason="foreign_host"} 4.0'}
        return "" if all(any(one in line for line in counters) for one in rejected) else str(counters)

    eventually(unread)
    assert "stumble_projector_blocked_partitions 0.0" in get(f"http://127.0.0.1:{port}/metrics").text
    assert cloud.stored_ids() == {one["event_id"] for one in (*earlier, *later)}
    assert cloud.processes_of("cmp2") == honest_processes
    listed = json.loads(run_dlq(cloud.testbed, "ls", "--stage", "signature", "--format", "json"))["items"]
    assert sum("is not valid for host 'cmp2'" in one["reason"] for one in listed) == 2


@pytest.mark.parametrize("clock_ahead", [TEN_YEARS, SINCE_1970], ids=["ten years ahead", "in 1970"])
def test_wrong_clock_of_a_host_stalls_no_request_of_another_and_its_own_events_are_marked(
    cloud: TwoHosts, clock_ahead: int
) -> None:
    emitters = {host: cloud.emitter(host) for host in HOSTS}
    wrong = event_of("cmp1", clock_ahead=clock_ahead)
    long_running, overdue = event_of("cmp2", action="live-migration"), event_of("cmp2", action="pause")
    clock = {
        "STUMBLE_CLOCK__SETTLE": "1s",
        "STUMBLE_CLOCK__CHECK_INTERVAL": "0.3s",
        "STUMBLE_CLOCK__LONGEST_HOLD": "3s",
    }
    cloud.start("projector", "projector", STUMBLE_CLOCK__DEADLINES__PAUSE="3s", **clock)
    cloud.start_relay("cmp1", clock_ahead=clock_ahead)
    cloud.start_relay("cmp2")
    cloud.wait_for_processes("cmp1", 1)
    assert emitters["cmp1"].emit(wrong)
    cloud.wait_until_stored(wrong)
    assert emitters["cmp2"].emit(long_running)
    assert emitters["cmp2"].emit(overdue)
    cloud.wait_for_outcome(overdue, "STALLED")  # the clock of the projector concludes what is true, and only that
    assert cloud.outcome(long_running) == "IN_PROGRESS"
    distance = "select abs(extract(epoch from reported_at - received_at)) > 86400 * 3000 from producers where host = %s"
    assert (True,) in cloud.rows(distance, "cmp1")
    body = "select body, abs(extract(epoch from now() - occurred_at)) < 600 from events where event_id::text = %s"
    ((stored, is_now),) = cloud.rows(body, wrong["event_id"])
    assert is_now
    assert codec.Decoder(EVENT).decode(stored)["attributes"]["claimed_occurred_at"] == str(wrong["occurred_at"])
