"""The audit names whatever the store has otherwise than the topic, and nothing else."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from stumble.store.connect import connect
from stumble.testing.events import event

pytestmark = pytest.mark.timeout(600)


def test_a_store_that_is_right_differs_in_nothing(store):
    status, told = store.audit()
    assert (status, told["differences"], told["found"]) == (0, {}, [])
    assert told["records"] >= 3000
    assert (told["unreadable"], told["dead_letters"]) == (1, 1)
    assert told["requests"] == store.rows("select count(*) from requests")[0][0]
    assert told["failures"] == store.rows("select count(*) from failures")[0][0]
    ended = store.run("audit", "--processes", "2")
    assert ended.returncode == 0
    assert "The store says what the topic says." in ended.stdout


FACTS = "instance_uuid, request_id"
#: Rows to spoil and what the audit must name: table, its key, the how manieth, what to set there (else it is deleted).
SPOILT = (
    ("missing", "event", "events", "event_id", 10, None),
    ("different", "event", "events", "event_id", 20, "body = body || '\\x00'"),
    ("missing", "request", "requests", "request_key", 3, None),
    ("different", "request", "requests", "request_key", 5, "outcome = 'STALLED', reason = 'because'"),
    ("missing", "failure", "failures", "failure_id", 2, None),
    ("different", "failure", "failures", "failure_id", 4, "occurred_at = occurred_at + interval '1 hour'"),
    ("different", "facts", "fact_sets", FACTS, 7, "facts = '[1,[],[]]'"),
    ("missing", "facts", "fact_sets", FACTS, 9, None),
)


def _spoil_row(store, table, key, place, change):
    """Returns the row's id."""
    which = f"({key}) = (select {key} from {table} order by {key} limit 1 offset {place})"
    what = f"update {table} set {change}" if change else f"delete from {table}"
    ((found,),) = store.spoil(f"{what} where {which} returning concat_ws('/', {key})")
    return found


def _plant(store):
    """Spoil the store in every way; returns (kind, what, id) of each."""
    planted = [(kind, what, _spoil_row(store, *row)) for kind, what, *row in SPOILT]
    stranger = event(instance_uuid="99999999-9999-4999-8999-999999999999")
    (row,) = store.spoil(
        "insert into events select %s, now(), kafka_partition, 1, body from events limit 1 returning event_id",
        stranger["event_id"],
    )
    planted.append(("extra", "event", str(row[0])))
    (row,) = store.spoil(
        "insert into requests (request_key, instance_uuid, outcome, version, kafka_partition, started_at, "
        "last_event_at) values (gen_random_uuid(), %s, 'FAILED', 1, 0, now(), now()) returning request_key",
        stranger["instance_uuid"],
    )
    planted.append(("extra", "request", str(row[0])))
    (row,) = store.spoil(
        "update revisions set digest = '\\x00' where subject_id = (select failure_id from failures order by 1 limit 1 "
        "offset 8) returning subject_id"
    )
    planted.append(("different", "publication", str(row[0])))
    store.spoil(
        "update counters set value = value + 2 where (kafka_partition, metric, labels) = (select kafka_partition, "
        "metric, labels from counters where metric = 'requests' order by 1, 2, 3 limit 1)"
    )
    return planted


def test_planted_differences_are_named_and_repaired(store):
    right = store.everything()
    planted = _plant(store)
    (late,) = store.spoil(
        "with gone as (delete from events where event_id = (select event_id from events order by event_id limit 1 "
        "offset 40) returning event_id, occurred_at, kafka_partition, kafka_offset, body) "
        "insert into late_events select * from gone returning event_id"
    )
    status, told = store.audit("--processes", "3")
    assert status == 1
    found = {(one["kind"], one["what"], one["id"]) for one in told["found"]}
    assert {*planted, ("late", "event", str(late[0]))} <= found
    assert any(one["what"] == "counter" for one in told["found"])
    assert {one[0] for one in found} == {"missing", "extra", "different", "late"}
    ended = store.run("audit", "--repair", "--processes", "2")
    assert ended.returncode == 0, ended.stdout
    assert "and repaired: " in ended.stdout
    assert store.audit()[1]["differences"] == {}
    assert store.everything() == right


def test_what_the_store_has_not_come_to_is_late(store, built):
    store.spoil("update offsets set next_offset = next_offset - 133 where kafka_partition <> 1")
    status, told = store.audit("--wait", "0")
    assert (status, told["records"]) == (1, len(built.events))
    assert {one["what"] for one in told["found"]} == {"partition"}  # nothing of what it has come to
    store.spoil("update offsets set next_offset = next_offset + 133 where kafka_partition <> 1")
    store.spoil("update offsets set next_offset = next_offset - 5 where kafka_partition = 1")
    ended = store.run("audit", "--wait", "0")
    assert ended.returncode == 1
    assert "late      partition 1: the store has not come to 5 records" in ended.stdout


def test_a_range_judges_what_lies_wholly_inside(store):
    now = datetime.now(UTC)
    status, told = store.audit("--since", (now - timedelta(hours=5)).isoformat(), "--until", now.isoformat())
    assert (status, told["differences"], told["left_out"]) == (0, {}, {})
    assert told["requests"] == store.rows("select count(*) from requests")[0][0]
    ((middle,),) = store.rows("select kafka_offset from events where kafka_partition = 1 order by 1 limit 1 offset 300")
    assert middle > 0
    status, told = store.audit("--until", (now - timedelta(days=1)).isoformat())
    assert (status, told["records"]) == (0, 0)


def test_one_instance(store):
    ((instance,),) = store.rows("select instance_uuid::text from failures group by 1 order by count(*) desc, 1 limit 1")
    status, told = store.audit("--instance", instance)
    assert (status, told["instances"]) == (0, 1)
    assert told["requests"] == store.rows("select count(*) from requests where instance_uuid = %s", instance)[0][0]
    store.spoil("delete from failures where instance_uuid = %s", instance)
    status, told = store.audit("--instance", instance, "--processes", "2")
    assert status == 1
    assert {one["what"] for one in told["found"]} == {"failure"}


def test_another_topic_is_refused_in_one_sentence(store):
    store.spoil("update offsets set topic_id = 'another'")
    ended = store.run("audit", "--wait", "0")
    assert ended.returncode == 1
    assert "the topic was deleted and made anew" in ended.stderr


@pytest.mark.parametrize("emptied", ["requests, failures, sightings", "fact_sets, events", None])
def test_a_rebuild_repeats_no_publication_and_counts_nothing_twice(store, emptied):
    store.spoil("update sightings set updated_at = updated_at - interval '10 minutes'")  # no more news for the sweep
    right, published = store.everything(), store.rows("select count(*), max(id) from publications")
    counted = store.rows("select * from counters order by 1, 2, 3")
    if emptied is None:
        ended = store.run("store", "rebuild", "--from-nothing")
    else:
        with connect(store.url) as session:
            session.execute(f"truncate {emptied}")
        ended = store.run("store", "rebuild")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert store.everything() == right
    assert store.rows("select count(*), max(id) from publications") == published
    assert store.rows("select * from counters order by 1, 2, 3") == counted


def test_kill_9_in_the_middle_of_a_repair_leaves_what_the_next_one_ends(store):
    right = store.everything()
    with connect(store.url) as session:
        session.execute("truncate fact_sets, failures, requests, events")
    for patience in (0.4, 0.8, 1.2):
        process = store.start("audit", "--repair")
        deadline = time.monotonic() + 60
        while process.poll() is None and not store.rows("select 1 from events limit 1"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(patience / 2)
        process.kill()
        process.wait()
    assert store.run("audit", "--repair").returncode == 0
    assert store.everything() == right


def test_a_repair_beside_a_projector_that_writes(store):
    right = store.everything()
    with connect(store.url) as session:
        session.execute("truncate fact_sets, failures, requests")
    store.spoil("update offsets set next_offset = next_offset / 2")
    projector = store.start("projector")
    try:
        ended = store.run("audit", "--repair", "--wait", "90")
        assert ended.returncode == 0, ended.stdout
    finally:
        projector.terminate()
        projector.wait(60)
    assert store.everything() == right
