"""Expired rows are deleted in small steps; events that arrive again afterwards change no count."""

from __future__ import annotations

import pytest

from stumble.audit.counters import total_surplus
from stumble.store.connect import connect
from stumble.store.partitions import EventPartitions
from stumble.store.retention import Retention, delete_expired
from stumble.testing.events import NOW_US
from tests.support.projection import stream

DAY_US = 86_400_000_000
_DURABLE = {
    "counters": "select * from counters where metric not like '%%\\_expired' order by 1, 2, 3",
    "publications": "select count(*), max(id) from publications",
    "revisions": "select * from revisions order by 1",
}


def durable_rows(writer):
    return {name: writer.rows(statement) for name, statement in _DURABLE.items()}


@pytest.fixture
def old_events(writer):
    """Events of ten days ago in the store, as if they had arrived then."""
    events = [item.event for item in stream(900, start_us=NOW_US - 10 * DAY_US, seed=3)]
    writer.write(events)
    writer.sweep()
    for table in ("fact_sets", "requests", "failures", "sightings"):
        writer.connection.execute(f"update {table} set updated_at = now() - interval '10 days'")
    return events


def test_events_are_dropped_with_their_partition_and_failures_stay(writer, old_events, store_url):
    before, failures = durable_rows(writer), writer.rows("select count(*) from failures")
    with connect(store_url) as session:
        delete_expired(session, EventPartitions(5), Retention(events=5, requests=50))
    assert writer.rows("select count(*) from events") == [(0,)]
    assert writer.rows("select count(*) from failures") == failures
    assert failures > [(10,)]
    writer.write(old_events)
    assert durable_rows(writer) == before
    assert total_surplus(writer.connection) == {}


def test_expired_requests_are_deleted_with_their_failures_and_counters_stay(writer, old_events, store_url):
    before = durable_rows(writer)
    with connect(store_url) as session:
        delete_expired(session, EventPartitions(5), Retention(events=5, requests=8))
    for table in ("events", "requests", "failures", "fact_sets"):
        assert writer.rows(f"select count(*) from {table}") == [(0,)], table
    after = durable_rows(writer)
    open_now = [row for row in after["counters"] if row[1] == "open" and row[3]]
    assert open_now == [], "what was in flight is no more"
    without_open = [row for row in after["counters"] if row[1] != "open"]
    assert without_open == [row for row in before["counters"] if row[1] != "open"]
    assert total_surplus(writer.connection) == {}
    writer.store_writer.requests_days = 8
    result = writer.write(old_events)
    assert result.events == 0
    assert result.late == len({one["event_id"] for one in old_events})
    assert [row for row in durable_rows(writer)["counters"] if row[1] != "late_events"] == after["counters"]
    assert durable_rows(writer)["publications"] == before["publications"]


def test_request_with_recent_events_keeps_its_facts(writer, old_events, store_url):
    (key,) = writer.rows("select request_key from requests order by 1 limit 1")
    writer.connection.execute("update requests set updated_at = now() where request_key = %s", key)
    with connect(store_url) as session:
        delete_expired(session, EventPartitions(5), Retention(events=5, requests=8))
    assert writer.rows("select request_key from requests") == [key]
    assert writer.rows("select count(*) from fact_sets") == [(1,)]


def test_partition_that_is_being_read_is_dropped_by_the_next_run(writer, old_events, store_url):
    with connect(store_url) as reader, connect(store_url) as session:
        with reader.transaction():
            reader.execute("select count(*) from events")
            delete_expired(session, EventPartitions(5), Retention(events=5))
            assert writer.write(old_events[:1]).duplicates == 1, "nobody waits for the reader"
        delete_expired(session, EventPartitions(5), Retention(events=5))
    assert writer.rows("select count(*) from events") == [(0,)]


def test_old_publications_are_deleted_and_revisions_stay(writer, old_events, store_url):
    with connect(store_url) as session:
        session.execute("update publications set created_at = now() - interval '10 days'")
        delete_expired(session, EventPartitions(5), Retention(publications=8))
        assert writer.rows("select count(*) from publications") == [(0,)]
        assert writer.rows("select count(*) from revisions") > [(100,)], "their subjects still stand"


def test_events_stay_in_the_default_partition_until_theirs_can_be_created(writer, store_url):
    writer.store_writer.partitions.retry_seconds = 0
    events = [item.event for item in stream(100, start_us=NOW_US - 20 * DAY_US, seed=4)]
    with connect(store_url) as reader, reader.transaction():
        reader.execute("select count(*) from events")
        assert writer.write(events[:50]).events > 0
    statement = "select count(*) from events_default"
    assert writer.rows(statement) > [(0,)]
    writer.write(events[50:])
    assert writer.rows(statement) == [(0,)]
