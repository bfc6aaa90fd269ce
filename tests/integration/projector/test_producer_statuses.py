"""The projector stores producers' statuses: in the order of the topic, each bounded, none at the cost of others."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Producer

from stumble.projector.producer_statuses import MAX_PROCESSES
from stumble.store.connect import connect
from stumble.wire import codec
from stumble.wire.headers import relay_headers
from stumble.wire.schemas import PRODUCER_STATUS
from tests.support.projection import eventually

DAY_US = 86_400_000_000


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def send(testbed):
    """Return a function that sends one status, or a tombstone if `value` is None, and starts a projector."""
    producer = Producer(testbed.settings.producer_config())
    testbed.start()

    def send_one(host: str, process: str, *, relay: str | None = None, tombstone: bool = False, **fields: Any) -> None:
        status = {"host": host, "process": process, "reported_at": now_us(), "alive": True, **fields}
        value = codec.frame_single_object(PRODUCER_STATUS, codec.encode_record(PRODUCER_STATUS, status))
        headers: list[tuple[str, str | bytes | None]] = [*relay_headers(relay, is_bridge=False)] if relay else []
        key = fields.get("key", f"{host}/{process}")
        producer.produce(testbed.settings.topics.producers, None if tombstone else value, key, headers=headers)

    def flush(*statuses: dict[str, Any]) -> None:
        for one in statuses:
            send_one(**one)
        assert producer.flush(60) == 0

    return flush


def test_statuses_that_the_store_does_not_accept_yet_are_stored_later(testbed, send) -> None:
    send(relay("first"))
    wait_for(testbed, {"first/relay": 0})
    with connect(testbed.url) as session:
        session.execute("alter table producers rename to unavailable")
        try:
            send(relay("second"))
            text = "statuses wait until the store accepts"
            eventually(lambda: "" if text in testbed.log_of(testbed.running[0]) else "not logged")
        finally:
            session.execute("alter table unavailable rename to producers")
    wait_for(testbed, {"first/relay": 0, "second/relay": 0})


def wait_for(testbed, expected: dict[str, Any], columns: str = "backlog_events") -> None:
    """Wait until the store has exactly these processes of relays and hosts, with these values."""

    def differing() -> str:
        with connect(testbed.url) as session:
            rows = session.execute(
                f"select host || '/' || process, {columns} from producers where removed_at is null"
            ).fetchall()
        found = {row[0]: row[1] if len(row) == 2 else row[1:] for row in rows}
        return "" if found == expected else str(found)

    eventually(differing)


def relay(host: str, **fields: Any) -> dict[str, Any]:
    return {"host": host, "process": "relay", "service": "stumble-relay", **fields}


def test_last_status_of_the_topic_counts_whatever_its_clock_shows(testbed, send):
    send(relay("h1", reported_at=now_us() + 3650 * DAY_US, backlog_events=1))
    wait_for(testbed, {"h1/relay": 1})
    send(relay("h1", backlog_events=2))
    wait_for(testbed, {"h1/relay": 2})
    send(relay("h1", reported_at=now_us() - 3650 * DAY_US, backlog_events=3))
    wait_for(testbed, {"h1/relay": (3, True)}, "backlog_events, received_at > now() - interval '1 minute'")


def test_impossible_value_costs_no_other_status(testbed, send):
    send(
        relay("h1", reported_at=2**63 - 1, backlog_events=1),
        relay("h2", oldest_unsent_at=-(2**63), started_at=2**63 - 1, ready_at=-1, backlog_events=2),
        relay("h3", backlog_events=2**63 - 1, accepted_total=2**63 - 1, sent_total=-5),
        relay("h4", attributes={"a\0": "\0"}, labels={"\0": "b"}, service="\0", backlog_events=4),
        relay("h5", backlog_events=5),
    )
    wait_for(testbed, {"h1/relay": 1, "h2/relay": 2, "h3/relay": 10**15, "h4/relay": 4, "h5/relay": 5})


def test_tombstone_removes_a_process_until_it_reports_again(testbed, send):
    send(relay("h1"), {"host": "h1", "process": "uid-1/nova-compute-1"})
    wait_for(testbed, {"h1/relay": 0, "h1/uid-1/nova-compute-1": 0})
    send({"host": "h1", "process": "uid-1/nova-compute-1", "tombstone": True})
    wait_for(testbed, {"h1/relay": 0})
    send({"host": "h1", "process": "uid-1/nova-compute-1", "backlog_events": 7})
    wait_for(testbed, {"h1/relay": 0, "h1/uid-1/nova-compute-1": 7})


def test_tombstone_of_a_relay_removes_nothing(testbed, send):
    send(relay("h1"))
    wait_for(testbed, {"h1/relay": 0})
    send({"host": "h1", "process": "relay", "tombstone": True}, relay("h2"))
    wait_for(testbed, {"h1/relay": 0, "h2/relay": 0})


def test_status_under_the_key_of_another_producer_is_ignored(testbed, send):
    send(relay("h1", key="h2/relay"), relay("a/b"), relay(""), relay("h3"))
    wait_for(testbed, {"h3/relay": 0})


def test_relay_is_the_one_that_the_header_names(testbed, send):
    claimed = {"attributes": {"relay_host": "victim"}}
    send(relay("h1", relay="mallory", **claimed), relay("h2", **claimed))
    wait_for(testbed, {"h1/relay": ("mallory", True), "h2/relay": ("victim", False)}, "relay_host, relay_named")


def test_that_a_process_was_alive_is_remembered_although_a_later_status_denies_it(testbed, send):
    compute = {"host": "h1", "process": "uid-1/nova-compute-1", "started_at": 5}
    send(compute, {**compute, "alive": False})
    columns = "alive, last_alive_at is not null, started_seen_at <= last_alive_at"
    wait_for(testbed, {"h1/uid-1/nova-compute-1": (False, True, True)}, columns)
    send({**compute, "alive": False, "started_at": 6})
    wait_for(testbed, {"h1/uid-1/nova-compute-1": (False, True, False)}, columns)


def test_number_of_processes_of_a_host_is_limited(testbed, send):
    send(*({"host": "h1", "process": f"uid-1/p{number:05}"} for number in range(MAX_PROCESSES + 50)), relay("h2"))
    names = [f"h1/uid-1/p{number:05}" for number in range(MAX_PROCESSES)]
    wait_for(testbed, dict.fromkeys([*names, "h2/relay"], 0))
