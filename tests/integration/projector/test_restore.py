"""Restores and failovers of the database under running roles: delivery goes on, and the highest revision is right."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from stumble.local.postgres import LocalPostgres
from stumble.store.connect import connect
from stumble.store.incarnation import read_incarnation
from stumble.store.migrate import migrate
from stumble.testing.events import event, failure
from stumble.wire.codec import Decoder
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME
from tests.support.api_fixtures import running_api
from tests.support.asking import get
from tests.support.command import stumble
from tests.support.database_backup import dump, new_standby, promote, restore, stop_replication
from tests.support.projection import ProjectorTestbed, eventually
from tests.support.prometheus import LocalPrometheus, require_prometheus

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
FAILS = {"signal": "event_finish", "phase": "ERROR", "failure": failure()}


@pytest.fixture
def servers(tmp_path):
    """PostgreSQL servers of this test, by name: each in a folder of this name."""
    started: dict[str, LocalPostgres] = {}
    yield started
    for server in started.values():
        server.stop()


def start_server(servers, folder):
    server = servers[folder.name] = LocalPostgres(folder, fsync=False)
    server.start()
    return server


@pytest.fixture
def testbed(kafka, servers, tmp_path):
    """A testbed on the server `first`, whose transactions have higher ids than those of a new server."""
    url = start_server(servers, tmp_path / "first").create_database("stumble")
    migrate(url)
    with connect(url) as connection:
        connection.execute("do $$ begin for i in 1..20000 loop perform pg_current_xact_id(); commit; end loop; end $$")
    result = ProjectorTestbed(kafka, url, partitions=2)
    yield result
    result.stop()


def fail(testbed, request, *steps):
    """Let steps of a request fail."""
    for at, step in enumerate(steps, start=1):
        testbed.produce([event(request_id=request, at=at, step=step, **FAILS)])


def last_incarnation(connection):
    incarnation = read_incarnation(connection)
    assert incarnation is not None
    return incarnation


def start_roles(testbed):
    return testbed.start("projector"), testbed.start("alerter")


def stop_roles(testbed):
    for process in testbed.running:
        process.terminate()
    for process in testbed.running:
        process.wait(60)
    testbed.running.clear()


def delivered(testbed):
    """Return (subject, revision, status, record) of all records of both topics."""
    rows = []
    for topic, schema, name in (
        (testbed.settings.topics.failures, ACTION_FAILED, "failure_id"),
        (testbed.settings.topics.outcomes, ACTION_OUTCOME, "request_key"),
    ):
        consumer = Consumer({"bootstrap.servers": testbed.kafka, "group.id": "test", "enable.partition.eof": True})
        count = len(consumer.list_topics(topic, 30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in range(count)])
        decoder, ended = Decoder(schema), 0
        while ended < count:
            message = consumer.poll(30)
            assert message is not None
            if message.error():
                ended += 1
                continue
            value = message.value()
            assert value is not None
            record = decoder.decode(value)
            rows.append((record[name], record["revision"], record["status"], record))
        consumer.close()
    return rows


def wrong_at_the_subscriber(testbed):
    """Return where a subscriber that keeps the highest revision of each subject differs from the store."""
    kept: dict[str, tuple[int, str, dict[str, Any]]] = {}
    contents: dict[tuple[str, int], str] = {}
    wrong = []
    for subject, revision, status, record in delivered(testbed):
        content = json.dumps({name: value for name, value in record.items() if name != "published_at"}, default=str)
        if contents.setdefault((subject, revision), content) != content:
            wrong.append(f"{subject} has two contents of revision {revision}")
        kept[subject] = max(kept.get(subject, (0, "", {})), (revision, status, record), key=lambda one: one[0])
    with connect(testbed.url) as connection:
        failures = {row[0] for row in connection.execute("select failure_id::text from failures")}
        rows = connection.execute("select request_key::text, outcome from requests where outcome <> 'IN_PROGRESS'")
        outcomes: dict[str, str] = dict(rows.fetchall())
        rows = connection.execute("select subject_id::text, max(revision) from publications group by 1")
        last: dict[str, int] = dict(rows.fetchall())
    current = {subject: record for subject, (_, status, record) in kept.items() if status == "CURRENT"}
    if {subject for subject, record in current.items() if "failure_id" in record} != failures:
        wrong.append("the current failures are not those of the store")
    if {key: one["outcome"] for key, one in current.items() if "failure_id" not in one} != outcomes:
        wrong.append("the current outcomes are not those of the store")
    wrong += [
        f"{subject}: {kept.get(subject)}" for subject in last if kept.get(subject, (0, "", {}))[0] != last[subject]
    ]
    return wrong


def wait_until_right(testbed):
    eventually(testbed.lag, 90)
    eventually(lambda: wrong_at_the_subscriber(testbed), 60)


@pytest.mark.parametrize("target", ["a new server", "the same server"])
def test_delivery_goes_on_after_a_restore(testbed, servers, tmp_path, target):
    roles = start_roles(testbed)
    fail(testbed, "req-early", "step-1")
    wait_until_right(testbed)
    dump(testbed.url, tmp_path / "backup")
    fail(testbed, "req-early", "step-1", "step-2")  # two revisions that the backup does not have
    fail(testbed, "req-lost", "step-1")
    wait_until_right(testbed)
    fail(testbed, "req-early", "step-1", "step-2", "step-3")
    wait_until_right(testbed)
    before = {(subject, revision) for subject, revision, _, _ in delivered(testbed)}
    in_use = stumble("store", "migrate", "--restored", **testbed.environment())
    assert in_use.returncode == 1
    assert "in use by stumble-" in in_use.stderr
    stop_roles(testbed)
    assert all(process.returncode == 0 for process in roles)
    if target == "a new server":
        servers["first"].stop()
        testbed.url = start_server(servers, tmp_path / "second").url("stumble")
    restore(tmp_path / "backup", testbed.url)
    done = stumble("store", "migrate", "--restored", **testbed.environment())
    assert done.returncode == 0, done.stderr
    assert "begins a new incarnation: a backup was restored" in done.stdout
    start_roles(testbed)
    wait_until_right(testbed)
    fail(testbed, "req-early", "step-4")
    fail(testbed, "req-late", "step-1")
    wait_until_right(testbed)
    new = {(subject, revision) for subject, revision, _, _ in delivered(testbed)} - before
    with connect(testbed.url) as connection:
        number = last_incarnation(connection).number
        rows = connection.execute(
            "select subject_id::text, revision from publications where incarnation = %s", (number,)
        ).fetchall()
        assert new >= set(rows)
        assert rows
        assert not connection.execute("select 1 from cursors where incarnation <> %s", (number,)).fetchall()


def test_failover_to_a_standby_that_lacks_commits_begins_an_incarnation(testbed, servers, tmp_path):
    start_roles(testbed)
    fail(testbed, "req-early", "step-1")
    wait_until_right(testbed)
    standby = servers["standby"] = new_standby(servers["first"], tmp_path / "first", tmp_path / "standby")
    stop_replication(standby)
    fail(testbed, "req-early", "step-1", "step-2")
    wait_until_right(testbed)
    with connect(testbed.url) as connection:
        before = last_incarnation(connection)
    stop_roles(testbed)
    servers["first"].stop()
    promote(standby)
    testbed.url = standby.url("stumble")
    start_roles(testbed)
    wait_until_right(testbed)
    fail(testbed, "req-early", "step-3")
    wait_until_right(testbed)
    with connect(testbed.url) as connection:
        after = last_incarnation(connection)
    assert after.number > before.number
    assert "another server took over" in after.reason


def test_partial_restore_is_refused(testbed, servers):
    with connect(testbed.url) as connection:
        connection.execute("drop index stumble_derived.failures_problem")
    refused = stumble("store", "migrate", "--restored", **testbed.environment())
    assert refused.returncode == 1
    assert "the restore did not succeed. Repeat it into an empty database" in refused.stderr
    testbed.url = servers["first"].create_database("empty")
    refused = stumble("store", "migrate", "--restored", **testbed.environment())
    assert refused.returncode == 1
    assert "has no tables of a store: the restore did not succeed" in refused.stderr


def test_prometheus_counts_no_failure_twice_after_a_restore(testbed, tmp_path):
    require_prometheus()
    start_roles(testbed)
    for number in range(30):
        fail(testbed, f"req-{number}", "step-1", "step-2")
    eventually(testbed.lag, 90)
    kafka = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": testbed.kafka, "STUMBLE_KAFKA__TOPIC_PREFIX": testbed.prefix}
    with running_api(testbed.url, **kafka) as api:
        prometheus = LocalPrometheus(tmp_path / "prometheus", [api.removeprefix("http://")])
        prometheus.start()
        try:
            total = "sum(stumble_action_failures_total)"
            eventually(lambda: "no counter yet" if not prometheus.query(total) else "", 60)
            dump(testbed.url, tmp_path / "backup")
            for number in range(3):
                fail(testbed, f"req-later-{number}", "step-1")
            eventually(testbed.lag, 90)
            time.sleep(3)
            began = time.time()
            stop_roles(testbed)
            restore(tmp_path / "backup", testbed.url)  # the API goes on, before and after the command
            time.sleep(3)
            assert "stumble_store_catching_up 1.0" in get(f"{api}/metrics").text
            testbed.start("projector")
            eventually(testbed.lag, 90)
            eventually(lambda: "" if "stumble_store_catching_up 0.0" in get(f"{api}/metrics").text else "not yet", 60)
            time.sleep(4)
            window = f"[{int(time.time() - began) + 2}s]"
            for counter in ("stumble_action_failures_total", "stumble_action_requests_total"):
                ((series),) = prometheus.query(f"sum(increase({counter}{window}))")
                assert float(series["value"][1]) == 0, counter
            fail(testbed, "req-new", "step-1")
            eventually(lambda: not prometheus.query(f"sum(increase(stumble_action_failures_total{window})) > 0"), 60)
        finally:
            prometheus.stop()
