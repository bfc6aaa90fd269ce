"""What is too old goes, a little at a time; what is delivered again after that changes no count."""

from __future__ import annotations

import pytest

from stumble.audit.counters import surplus
from stumble.store.connect import connect
from stumble.store.partitions import EventPartitions
from stumble.store.retention import Retention, expire
from stumble.testing.events import NOW_US
from tests.support.projection import stream

DAY_US = 86_400_000_000
_KEPT = {
    "counters": "select * from counters where metric not like '%%\\_expired' order by 1, 2, 3",
    "publications": "select count(*), max(id) from publications",
    "revisions": "select * from revisions order by 1",
}


def kept(hand):
    return {name: hand.rows(statement) for name, statement in _KEPT.items()}


@pytest.fixture
def old(hand):
    """Events of ten days ago in the store, as if they had come in time."""
    events = [item.event for item in stream(900, start_us=NOW_US - 10 * DAY_US, seed=3)]
    hand.write(events)
    hand.sweep()
    for table in ("fact_sets", "requests", "failures", "sightings"):
        hand.connection.execute(f"update {table} set updated_at = now() - interval '10 days'")
    return events


def test_events_go_with_their_partition_and_failures_stay(hand, old, store_url):
    before, failures = kept(hand), hand.rows("select count(*) from failures")
    with connect(store_url) as session:
        expire(session, EventPartitions(5), Retention(events=5, requests=50))
    assert hand.rows("select count(*) from events") == [(0,)]
    assert hand.rows("select count(*) from failures") == failures
    assert failures > [(10,)]
    hand.write(old)
    assert kept(hand) == before
    assert surplus(hand.connection) == {}


def test_requests_go_with_their_failures_and_counters_survive(hand, old, store_url):
    before = kept(hand)
    with connect(store_url) as session:
        expire(session, EventPartitions(5), Retention(events=5, requests=8))
    for table in ("events", "requests", "failures", "fact_sets"):
        assert hand.rows(f"select count(*) from {table}") == [(0,)], table
    after = kept(hand)
    open_now = [row for row in after["counters"] if row[1] == "open" and row[3]]
    assert open_now == [], "what was in flight is no more"
    without_open = [row for row in after["counters"] if row[1] != "open"]
    assert without_open == [row for row in before["counters"] if row[1] != "open"]
    assert surplus(hand.connection) == {}
    hand.ledger.requests_days = 8
    again = hand.write(old)
    assert again.events == 0
    assert again.late == len({one["event_id"] for one in old})
    assert [row for row in kept(hand)["counters"] if row[1] != "late_events"] == after["counters"]
    assert kept(hand)["publications"] == before["publications"]


def test_a_request_with_news_keeps_its_facts(hand, old, store_url):
    (key,) = hand.rows("select request_key from requests order by 1 limit 1")
    hand.connection.execute("update requests set updated_at = now() where request_key = %s", key)
    with connect(store_url) as session:
        expire(session, EventPartitions(5), Retention(events=5, requests=8))
    assert hand.rows("select request_key from requests") == [key]
    assert hand.rows("select count(*) from fact_sets") == [(1,)]


def test_a_partition_that_is_read_is_dropped_next_time(hand, old, store_url):
    with connect(store_url) as reader, connect(store_url) as session:
        with reader.transaction():
            reader.execute("select count(*) from events")
            expire(session, EventPartitions(5), Retention(events=5))
            assert hand.write(old[:1]).duplicates == 1, "nobody waits for the reader"
        expire(session, EventPartitions(5), Retention(events=5))
    assert hand.rows("select count(*) from events") == [(0,)]


def test_what_was_published_goes_when_nothing_is_left_to_correct(hand, old, store_url):
    with connect(store_url) as session:
        session.execute("update publications set created_at = now() - interval '10 days'")
        expire(session, EventPartitions(5), Retention(publications=8))
        assert hand.rows("select count(*) from publications") == [(0,)]
        assert hand.rows("select count(*) from revisions") > [(100,)], "their subjects still stand"


def test_a_day_whose_partition_cannot_be_made_now_waits_in_the_default_one(hand, store_url):
    hand.ledger.partitions.retry_seconds = 0
    events = [item.event for item in stream(100, start_us=NOW_US - 20 * DAY_US, seed=4)]
    with connect(store_url) as reader, reader.transaction():
        reader.execute("select count(*) from events")
        assert hand.write(events[:50]).events > 0
    there = "select count(*) from events_default"
    assert hand.rows(there) > [(0,)]
    hand.write(events[50:])
    assert hand.rows(there) == [(0,)]
