"""A replay builds the store that was, every id included, and can only be read; a server's story comes in order."""

from __future__ import annotations

import json
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
def place(store):
    name = f"r{uuid.uuid4().hex[:12]}"
    yield name
    with connect(store.url) as session:
        session.execute(f"drop database if exists {name} with (force)")


def beside(store: Store, name: str) -> Store:
    return Store(store.world, store.url.rpartition("/")[0] + "/" + name)


def test_every_id_and_every_count_is_reproduced_in_an_empty_store(store, place):
    ended = store.run("replay", "--into", place, "--processes", "3")
    assert ended.returncode == 0, ended.stderr
    again, right = beside(store, place).everything(), store.everything()
    for name, rows in right.items():
        assert again[name] == rows, name
    ended = store.run("replay", "--into", place)
    assert ended.returncode == 1
    assert "already holds a store" in ended.stderr


def test_a_store_as_of_then_is_what_had_been_told_by_then_and_can_only_be_read(store, place):
    ended = store.run("replay", "--to", store.world.middle.isoformat(), "--into", place, "--json")
    assert json.loads(ended.stdout)["records"] == HALF, ended.stderr
    then = beside(store, place)
    assert differences(then.url, store.world.events[:HALF]) == []
    with pytest.raises(Exception, match="read-only transaction"):
        then.spoil("delete from requests")
    with running_api(then.url) as api:
        found = get(f"{api}/v1/failures", params={"limit": 5}).raise_for_status()
        assert len(found.json()["items"]) == 5


def test_kill_9_in_the_middle_of_a_replay_leaves_nothing_that_the_next_one_minds(store, place):
    for seconds in (0.2, 0.6):
        process = store.start("replay", "--into", place, "--processes", "2")
        deadline = time.monotonic() + 60
        while process.poll() is None and not _exists(store, place):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(seconds)
        process.kill()
        process.wait()
    again = store.run("replay", "--into", place)
    assert again.returncode == 0 or "already holds a store" in again.stderr, again.stderr
    assert beside(store, place).everything()["requests"] == store.everything()["requests"]


def _exists(store, place):
    return store.rows("select 1 from pg_database where datname = %s", place)


def test_the_story_of_one_server(store):
    ((instance, failure),) = store.rows(
        "select instance_uuid::text, min(exception) from failures group by 1 order by count(*) desc, 1 limit 1"
    )
    ended = store.run("replay", "--instance", instance)
    assert ended.returncode == 0, ended.stderr
    events, _, outcomes = ended.stdout.partition("\n\n")
    times = [line[:23] for line in events.splitlines()]
    assert times == sorted(times)
    ((count,),) = store.rows("select count(*) from requests where instance_uuid = %s", instance)
    assert outcomes.count(", began ") == count
    assert failure in outcomes
    told = json.loads(store.run("replay", "--instance", instance, "--json").stdout)
    stored = store.rows("select request_key::text, outcome from requests where instance_uuid = %s", instance)
    assert {(one["request_key"], one["outcome"]) for one in told["requests"]} == set(stored)
    assert store.run("replay", "--instance", str(uuid.uuid4())).returncode == 1
    assert store.run("replay").returncode == 2


def test_what_was_decided_is_taken_as_given(store, place):
    (decided,) = store.spoil(
        "insert into decisions (request_key, kind, decided_at, instance_uuid, request_id, kafka_partition) "
        "select request_key, 'STALLED', now(), instance_uuid, request_id, kafka_partition from requests "
        "where outcome = 'IN_PROGRESS' order by request_key limit 1 returning request_key, instance_uuid, request_id"
    )
    store.spoil("update fact_sets set has_decisions = true where instance_uuid = %s and request_id = %s", *decided[1:])
    assert store.run("rederive", "--instance", str(decided[1])).returncode == 0
    stalled = "select request_key from requests where outcome = 'STALLED'"
    assert store.rows(stalled) == [(decided[0],)]
    status, told = store.audit()
    assert (status, told["decisions"]) == (0, {"STALLED": 1}), told
    assert store.run("replay", "--into", place, "--processes", "2").returncode == 0
    then = beside(store, place)
    assert then.rows(stalled) == [(decided[0],)]
    assert then.everything()["fact_sets"] == store.everything()["fact_sets"]
    with connect(store.url) as session:
        session.execute("truncate fact_sets, requests, failures")
    assert store.run("store", "rebuild").returncode == 0
    assert store.rows(stalled) == [(decided[0],)]


def test_every_decision_is_taken_over_however_many_are_of_one_moment(store, place):
    many = 25_000  # so that more pages than one are cut from a sort of ties
    store.spoil(
        "insert into decisions (request_key, kind, decided_at, instance_uuid, request_id, kafka_partition) "
        f"select gen_random_uuid(), 'STALLED', now(), gen_random_uuid(), '', 0 from generate_series(1, {many})"
    )
    ended = store.run("replay", "--into", place, "--json")
    assert json.loads(ended.stdout)["decisions"] == many, ended.stderr
    told = "select request_key from decisions order by 1"
    assert beside(store, place).rows(told) == store.rows(told)


def test_store_stats_tell_rows_sizes_and_partitions(store):
    ended = store.run("store", "stats", "--exact")
    assert ended.returncode == 0, ended.stderr
    ((events,),) = store.rows("select count(*) from events")
    assert f"{events:>13,}" in ended.stdout
    told = json.loads(store.run("store", "stats", "--exact", "--json").stdout)
    sizes = {one["name"]: one for one in told["tables"]}
    ((size,),) = store.rows("select pg_total_relation_size('requests')")
    assert sizes["requests"]["heap"] + sizes["requests"]["toast"] + sizes["requests"]["indexes"] == size
    assert {"events_pkey", "requests_pkey", "failures_recent"} <= {one["name"] for one in told["indexes"]}
    assert told["bytes_per"]["event"] > 100
    assert told["ages"]["events"][0].startswith("20")


def test_a_store_of_another_time_tells_nobody(store, place):
    store.spoil(
        "insert into subscriptions (id, url, body, kinds, secrets)"
        " values (gen_random_uuid(), 'https://x.example', 'standard', '{failure,alert}', '{}')"
    )
    assert store.run("replay", "--into", place).returncode == 0
    then = beside(store, place)
    assert then.rows("select count(*) from publications") != [(0,)]
    for table in ("subscriptions", "deliveries", "alerts"):
        assert then.rows(f"select * from {table}") == [], table
