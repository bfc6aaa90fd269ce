"""The audit reports each difference between store and topic, and nothing else."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from stumble.outcome.facts import Fact, pack_facts
from stumble.store.connect import connect
from stumble.testing.events import event

pytestmark = pytest.mark.timeout(600)

_EXTRA = Fact._fields.index("extra")


def test_audit_of_a_correct_store_finds_no_difference(store):
    status, report = store.audit()
    assert (status, report["differences"], report["found"]) == (0, {}, [])
    assert report["records"] >= 3000
    assert (report["unreadable"], report["dead_letters"]) == (1, 1)
    assert report["requests"] == store.rows("select count(*) from requests")[0][0]
    assert report["failures"] == store.rows("select count(*) from failures")[0][0]
    ended = store.run("audit", "--processes", "2")
    assert ended.returncode == 0
    assert "The store agrees with the topic." in ended.stdout


def test_facts_that_an_older_release_packed_are_no_difference(store):
    changed = 0
    for instance, request_id, packed in store.rows("select instance_uuid, request_id, facts from fact_sets"):
        version, origins, facts = orjson.loads(packed)
        for fact in facts:
            if fact[_EXTRA] is not None:
                del fact[_EXTRA][-1]
        older = orjson.dumps((version, origins, facts))
        if older != packed:
            condition = "instance_uuid = %s and request_id = %s"
            store.corrupt(f"update fact_sets set facts = %s where {condition}", older, instance, request_id)
            changed += 1
    status, report = store.audit()
    assert changed > 0
    assert (status, report["differences"]) == (0, {})


FACTS = "instance_uuid, request_id"
#: Differences that the audit must report, and how to make them: kind, what, table, its key, number of the row, SET
#: clause (None: the row is deleted).
CORRUPTIONS = (
    ("missing", "event", "events", "event_id", 10, None),
    ("different", "event", "events", "event_id", 20, "body = body || '\\x00'"),
    ("missing", "request", "requests", "request_key", 3, None),
    ("different", "request", "requests", "request_key", 5, "outcome = 'STALLED', reason = 'because'"),
    ("missing", "failure", "failures", "failure_id", 2, None),
    ("different", "failure", "failures", "failure_id", 4, "occurred_at = occurred_at + interval '1 hour'"),
    ("different", "facts", "fact_sets", FACTS, 7, f"facts = '{pack_facts(()).decode()}'"),
    ("missing", "facts", "fact_sets", FACTS, 9, None),
)


def _corrupt_row(store, table, key, offset, change):
    """Change or delete a row; returns its id."""
    condition = f"({key}) = (select {key} from {table} order by {key} limit 1 offset {offset})"
    action = f"update {table} set {change}" if change else f"delete from {table}"
    ((row_id,),) = store.corrupt(f"{action} where {condition} returning concat_ws('/', {key})")
    return row_id


def _corrupt_everything(store):
    """Corrupt the store in each way; returns (kind, what, id) of each difference."""
    planted = [(kind, what, _corrupt_row(store, *row)) for kind, what, *row in CORRUPTIONS]
    foreign_event = event(instance_uuid="99999999-9999-4999-8999-999999999999")
    (row,) = store.corrupt(
        "insert into events select %s, now(), kafka_partition, 1, body from events limit 1 returning event_id",
        foreign_event["event_id"],
    )
    planted.append(("extra", "event", str(row[0])))
    (row,) = store.corrupt(
        "insert into requests (request_key, instance_uuid, outcome, version, kafka_partition, started_at, "
        "last_event_at) values (gen_random_uuid(), %s, 'FAILED', 1, 0, now(), now()) returning request_key",
        foreign_event["instance_uuid"],
    )
    planted.append(("extra", "request", str(row[0])))
    (row,) = store.corrupt(
        "update revisions set digest = '\\x00' where subject_id = (select failure_id from failures order by 1 limit 1 "
        "offset 8) returning subject_id"
    )
    planted.append(("different", "publication", str(row[0])))
    store.corrupt(
        "update counters set value = value + 2 where (kafka_partition, metric, labels) = (select kafka_partition, "
        "metric, labels from counters where metric = 'requests' order by 1, 2, 3 limit 1)"
    )
    return planted


def test_planted_differences_are_reported_and_repaired(store):
    expected = store.content()
    planted = _corrupt_everything(store)
    (late,) = store.corrupt(
        "with gone as (delete from events where event_id = (select event_id from events order by event_id limit 1 "
        "offset 40) returning event_id, occurred_at, kafka_partition, kafka_offset, body) "
        "insert into late_events select * from gone returning event_id"
    )
    status, report = store.audit("--processes", "3")
    assert status == 1
    reported = {(one["kind"], one["what"], one["id"]) for one in report["found"]}
    assert {*planted, ("late", "event", str(late[0]))} <= reported
    assert any(one["what"] == "counter" for one in report["found"])
    assert {one[0] for one in reported} == {"missing", "extra", "different", "late"}
    ended = store.run("audit", "--repair", "--processes", "2")
    assert ended.returncode == 0, ended.stdout
    assert "and repaired: " in ended.stdout
    assert store.audit()[1]["differences"] == {}
    assert store.content() == expected


def test_records_not_yet_stored_are_reported_as_late(store, built):
    store.corrupt("update offsets set next_offset = next_offset - 133 where kafka_partition <> 1")
    status, report = store.audit("--wait", "0")
    assert (status, report["records"]) == (1, len(built.events))
    assert {one["what"] for one in report["found"]} == {"partition"}  # no difference in the stored records
    store.corrupt("update offsets set next_offset = next_offset + 133 where kafka_partition <> 1")
    store.corrupt("update offsets set next_offset = next_offset - 5 where kafka_partition = 1")
    ended = store.run("audit", "--wait", "0")
    assert ended.returncode == 1
    assert "late      partition 1: the store has not read 5 records" in ended.stdout


def test_audit_of_a_time_range_checks_requests_inside_it(store):
    now = datetime.now(UTC)
    status, report = store.audit("--since", (now - timedelta(hours=5)).isoformat(), "--until", now.isoformat())
    assert (status, report["differences"], report["left_out"]) == (0, {}, {})
    assert report["requests"] == store.rows("select count(*) from requests")[0][0]
    ((offset_300,),) = store.rows(
        "select kafka_offset from events where kafka_partition = 1 order by 1 limit 1 offset 300"
    )
    assert offset_300 > 0
    status, report = store.audit("--until", (now - timedelta(days=1)).isoformat())
    assert (status, report["records"]) == (0, 0)


def test_audit_of_one_instance_reports_its_differences_only(store):
    ((instance,),) = store.rows("select instance_uuid::text from failures group by 1 order by count(*) desc, 1 limit 1")
    status, report = store.audit("--instance", instance)
    assert (status, report["instances"]) == (0, 1)
    assert report["requests"] == store.rows("select count(*) from requests where instance_uuid = %s", instance)[0][0]
    store.corrupt("delete from failures where instance_uuid = %s", instance)
    status, report = store.audit("--instance", instance, "--processes", "2")
    assert status == 1
    assert {one["what"] for one in report["found"]} == {"failure"}


def test_audit_of_a_recreated_topic_is_refused_in_one_sentence(store):
    store.corrupt("update offsets set topic_id = 'another'")
    ended = store.run("audit", "--wait", "0")
    assert ended.returncode == 1
    assert "the topic was deleted and created again" in ended.stderr


@pytest.mark.parametrize("emptied", ["requests, failures, sightings", "fact_sets, events", None])
def test_rebuild_repeats_no_publication_and_counts_nothing_twice(store, emptied):
    store.corrupt("update sightings set updated_at = updated_at - interval '10 minutes'")  # too old for the sweep
    expected, published = store.content(), store.rows("select count(*), max(id) from publications")
    counted = store.rows("select * from counters order by 1, 2, 3")
    if emptied is None:
        ended = store.run("store", "rebuild", "--from-nothing")
    else:
        with connect(store.url) as session:
            session.execute(f"truncate {emptied}")
        ended = store.run("store", "rebuild")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert store.content() == expected
    assert store.rows("select count(*), max(id) from publications") == published
    assert store.rows("select * from counters order by 1, 2, 3") == counted


def test_repair_succeeds_after_earlier_repairs_were_killed(store):
    expected = store.content()
    with connect(store.url) as session:
        session.execute("truncate fact_sets, failures, requests, events")
    for seconds_to_kill in (0.4, 0.8, 1.2):
        process = store.start("audit", "--repair")
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and not store.rows("select 1 from events limit 1"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(seconds_to_kill / 2)
        finally:
            process.kill()
            process.wait()
    assert store.run("audit", "--repair").returncode == 0
    assert store.content() == expected


def test_repair_beside_a_running_projector_restores_the_store(store):
    expected = store.content()
    with connect(store.url) as session:
        session.execute("truncate fact_sets, failures, requests")
    store.corrupt("update offsets set next_offset = next_offset / 2")
    projector = store.start("projector")
    try:
        ended = store.run("audit", "--repair", "--wait", "90")
        assert ended.returncode == 0, ended.stdout
    finally:
        projector.terminate()
        projector.wait(60)
    assert store.content() == expected
