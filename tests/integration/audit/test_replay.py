"""A replay builds a read-only store as of a time, with the same ids; the history of a server is in order."""

from __future__ import annotations

import json
import re
import time
import uuid

import pytest

from stumble.store.connect import connect
from tests.integration.audit.conftest import HALF, Store
from tests.support.api_fixtures import running_api
from tests.support.asking import get
from tests.support.projection import differences

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def replay_database(store):
    name = f"r{uuid.uuid4().hex[:12]}"
    yield name
    with connect(store.url) as session:
        session.execute(f"drop database if exists {name} with (force)")


def replay_store(store: Store, name: str) -> Store:
    return Store(store.testbed, store.url.rpartition("/")[0] + "/" + name)


def test_replay_reproduces_every_id_and_every_count(store, replay_database):
    ended = store.run("replay", "--into", replay_database, "--processes", "3")
    assert ended.returncode == 0, ended.stderr
    repeated, expected = replay_store(store, replay_database).content(), store.content()
    for name, rows in expected.items():
        assert repeated[name] == rows, name
    ended = store.run("replay", "--into", replay_database)
    assert ended.returncode == 1
    assert "already holds a store" in ended.stderr


def test_replay_up_to_a_time_has_only_earlier_events_and_is_read_only(store, built, replay_database):
    ended = store.run("replay", "--to", built.middle.isoformat(), "--into", replay_database, "--json")
    assert json.loads(ended.stdout)["records"] == HALF, ended.stderr
    replayed = replay_store(store, replay_database)
    assert differences(replayed.url, built.events[:HALF]) == []
    with pytest.raises(Exception, match="read-only transaction"):
        replayed.corrupt("delete from requests")
    with running_api(replayed.url, STUMBLE_KAFKA__TOPIC_PREFIX=store.testbed.prefix) as api:
        response = get(f"{api}/v1/failures", params={"limit": 5}).raise_for_status()
        assert len(response.json()["items"]) == 5
        assert "stumble_store_catching_up 0.0" in get(f"{api}/metrics").text


def test_replay_succeeds_after_earlier_replays_were_killed(store, replay_database):
    for seconds in (0.2, 0.6):
        process = store.start("replay", "--into", replay_database, "--processes", "2")
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and not _exists(store, replay_database):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(seconds)
        finally:
            process.kill()
            process.wait()
    repeated = store.run("replay", "--into", replay_database)
    assert repeated.returncode == 0 or "already holds a store" in repeated.stderr, repeated.stderr
    assert replay_store(store, replay_database).content()["requests"] == store.content()["requests"]


def _exists(store, replay_database):
    return store.rows("select 1 from pg_database where datname = %s", replay_database)


def test_history_of_one_server_is_printed_in_order(store):
    ((instance, failure),) = store.rows(
        "select instance_uuid::text, min(exception) from failures group by 1 order by count(*) desc, 1 limit 1"
    )
    ended = store.run("replay", "--instance", instance)
    assert ended.returncode == 0, ended.stderr
    times = re.findall(r"^ +\d+  (\S+ \S+)  ", ended.stdout, re.MULTILINE)
    assert len(times) > 1
    assert times == sorted(times)
    ((count,),) = store.rows("select count(*) from requests where instance_uuid = %s", instance)
    assert ended.stdout.count("  Request ") == count
    assert f"exception: {failure}" in ended.stdout
    document = json.loads(store.run("replay", "--instance", instance, "--json").stdout)
    stored = store.rows("select request_key::text, outcome from requests where instance_uuid = %s", instance)
    assert {(one["request_key"], one["outcome"]) for one in document["requests"]} == set(stored)
    assert store.run("replay", "--instance", str(uuid.uuid4())).returncode == 1
    assert store.run("replay").returncode == 2


def test_decisions_are_copied_by_replay_and_kept_by_rebuild(store, replay_database):
    (decided,) = store.corrupt(
        "insert into decisions (request_key, kind, decided_at, instance_uuid, request_id, kafka_partition) "
        "select request_key, 'STALLED', now(), instance_uuid, request_id, kafka_partition from requests "
        "where outcome = 'IN_PROGRESS' order by request_key limit 1 returning request_key, instance_uuid, request_id"
    )
    store.corrupt(
        "update fact_sets set has_decisions = true where instance_uuid = %s and request_id = %s", *decided[1:]
    )
    assert store.run("rederive", "--instance", str(decided[1])).returncode == 0
    stalled = "select request_key from requests where outcome = 'STALLED'"
    assert store.rows(stalled) == [(decided[0],)]
    status, document = store.audit()
    assert (status, document["decisions"]) == (0, {"STALLED": 1}), document
    assert store.run("replay", "--into", replay_database, "--processes", "2").returncode == 0
    replayed = replay_store(store, replay_database)
    assert replayed.rows(stalled) == [(decided[0],)]
    assert replayed.content()["fact_sets"] == store.content()["fact_sets"]
    with connect(store.url) as session:
        session.execute("truncate fact_sets, requests, failures")
    assert store.run("store", "rebuild").returncode == 0
    assert store.rows(stalled) == [(decided[0],)]


def test_all_decisions_of_the_same_time_are_copied(store, replay_database):
    decisions = 25_000  # so that several pages are read from rows with equal times
    store.corrupt(
        "insert into decisions (request_key, kind, decided_at, instance_uuid, request_id, kafka_partition) "
        f"select gen_random_uuid(), 'STALLED', now(), gen_random_uuid(), '', 0 from generate_series(1, {decisions})"
    )
    ended = store.run("replay", "--into", replay_database, "--json")
    assert json.loads(ended.stdout)["decisions"] == decisions, ended.stderr
    statement = "select request_key from decisions order by 1"
    assert replay_store(store, replay_database).rows(statement) == store.rows(statement)


def test_store_stats_print_rows_sizes_and_ages(store):
    ended = store.run("store", "stats", "--exact")
    assert ended.returncode == 0, ended.stderr
    ((events,),) = store.rows("select count(*) from events")
    assert f"{events:>13,}" in ended.stdout
    document = json.loads(store.run("store", "stats", "--exact", "--json").stdout)
    sizes = {one["name"]: one for one in document["tables"]}
    ((size,),) = store.rows("select pg_total_relation_size('requests')")
    assert sizes["requests"]["heap"] + sizes["requests"]["toast"] + sizes["requests"]["indexes"] == size
    assert {"events_pkey", "requests_pkey", "failures_recent"} <= {one["name"] for one in document["indexes"]}
    assert document["bytes_per"]["event"] > 100
    assert document["ages"]["events"][0].startswith("20")


def test_replay_copies_no_subscriptions_deliveries_or_alerts(store, replay_database):
    store.corrupt(
        "insert into subscriptions (id, url, body, kinds, secrets)"
        " values (gen_random_uuid(), 'https://x.example', 'standard', '{failure,alert}', '{}')"
    )
    assert store.run("replay", "--into", replay_database).returncode == 0
    replayed = replay_store(store, replay_database)
    assert replayed.rows("select count(*) from publications") != [(0,)]
    for table in ("subscriptions", "deliveries", "alerts"):
        assert replayed.rows(f"select * from {table}") == [], table
