"""A store begins a new incarnation when its database was restored; its publications, revisions and counters go on."""

from __future__ import annotations

import logging
import re
import threading

import psycopg
import pytest

from stumble.alerts.lease import Lease
from stumble.alerts.publications import PublicationCursor
from stumble.ingest.errors import FencedError
from stumble.metrics.exposition import exposition
from stumble.metrics.store import store_metrics
from stumble.projector.partition_state import PartitionState
from stumble.projector.start_offsets import StartOffsets
from stumble.runtime.state_log import StateLog
from stumble.store.connect import connect
from stumble.store.incarnation import begin_incarnation, connect_writer, ensure_incarnation, read_incarnation
from stumble.store.queries import query
from stumble.testing.events import event, failure
from stumble.testing.in_memory import InMemoryConsumer
from tests.support.projection import EventWriter, stream

FAILS = {"signal": "event_finish", "phase": "ERROR", "step": "compute_stop_instance", "failure": failure()}


@pytest.fixture
def restored(writer, new_database):
    """Return a function that copies the store of `writer` into a new database, as a restore does; returns its URL."""

    def restore():
        writer.connection.close()
        return new_database(re.sub(r".*/", "", writer.url))

    return restore


def read_all(connection, name="alerter"):
    """Return the subjects and revisions that a reader has not marked yet, and mark them."""
    lease = Lease(name)
    assert lease.held(connection)
    cursor = PublicationCursor(lease)
    cursor.open(connection)
    rows = []
    while batch := cursor.read(connection, 100):
        rows += batch
        cursor.mark(connection, batch[-1])
    lease.leave(connection)
    return [(row.subject_id, row.revision) for row in rows]


def last_incarnation(connection):
    incarnation = read_incarnation(connection)
    assert incarnation is not None
    return incarnation


def published(connection):
    return connection.execute("select subject_id::text, revision from publications order by id").fetchall()


def exported(connection):
    """Return the store's counters, without the label of the incarnation, and whether they are left out."""
    body, _ = exposition(None, store_metrics(connection))
    lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
    values = {re.sub(r',?incarnation="\d+"', "", name): float(value) for name, value in lines}
    counters = {name: value for name, value in values.items() if re.match(r"stumble_action_\w+_total\b", name)}
    return counters, values["stumble_store_catching_up"]


def start_offsets(writer, consumer):
    return StartOffsets(writer.url, "test", consumer, writer.store_writer, StateLog(logging.getLogger("test")))


def topic_of(writer):
    consumer = InMemoryConsumer()
    consumer.id = "t1"
    for partition in range(writer.partitions):
        consumer.append(partition, *[b""] * writer.offsets[partition])
    return consumer


def test_copy_of_a_database_begins_one_incarnation_whatever_the_number_of_sessions(writer, restored):
    before = last_incarnation(writer.connection)
    url = restored()
    numbers = []

    def open_session():
        with connect_writer(url, "stumble-test") as connection:
            numbers.append(last_incarnation(connection).number)

    threads = [threading.Thread(target=open_session) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 1
    assert numbers[0] > before.number
    with connect(url) as connection:
        assert ensure_incarnation(connection) == last_incarnation(connection)
        assert connection.execute("select count(*) from store_incarnations").fetchone() == (
            3,
        )  # template, writer, copy


def test_incarnation_waits_for_transactions_of_the_last_one(writer):
    with connect(writer.url, autocommit=False) as slow, connect(writer.url) as other:
        slow.execute("select max(number) from store_incarnations")  # as each writer of publications does
        other.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            begin_incarnation(other, "a test")


def test_publications_are_read_in_order_of_incarnations_although_transaction_ids_begin_anew(writer, restored):
    for number in range(2):
        writer.write([event(), event(at=1, **FAILS), event(at=number + 2)])
    with connect(writer.url) as connection:
        marked, *waiting = published(connection)
        assert waiting
        connection.execute(query("create_cursor"), {"name": "alerter"})
        # As in a cluster that has worked for long: the ids of its transactions are far ahead of a new one's.
        connection.execute("update publications set xid = (xid::text::bigint + 1000000)::text::xid8")
        connection.execute(
            "update cursors set (incarnation, xid, id) = (select incarnation, xid, id from publications where id = 1)"
        )
    url = restored()
    with connect_writer(url, "stumble-test") as connection:
        assert read_all(connection) == waiting
        after = EventWriter(url)
        after.write([event(request_id="req-later"), event(request_id="req-later", at=1, **FAILS)])
        later = published(connection)[len(waiting) + 1 :]
        assert later
        assert marked not in later
        assert read_all(connection) == later
        after.close()


def test_revision_of_a_restored_store_is_higher_than_all_that_were_given_out(writer):
    writer.write([event(), event(at=1, **FAILS)])
    backup = writer.rows("select subject_id, revision, status, digest from revisions")
    writer.write([event(at=2, host="other", **FAILS)])
    highest = dict(writer.rows("select subject_id, max(revision) from publications group by 1"))
    writer.connection.execute("truncate revisions")
    for row in backup:
        writer.connection.execute("insert into revisions values (%s, %s, %s, %s)", row)
    writer.write([event(at=3, host="third", **FAILS)])
    now = dict(writer.rows("select subject_id, max(revision) from publications group by 1"))
    changed = {subject for subject in highest if now[subject] != highest[subject]}
    assert changed
    assert all(now[subject] > highest[subject] for subject in changed)


def test_writer_is_fenced_until_the_end_of_the_partition_is_noted(writer):
    writer.write([event()])
    writer.connection.execute("update store_incarnations set identity = 'another server'")
    ensure_incarnation(writer.connection)
    with pytest.raises(FencedError):
        writer.write([event(at=1)])
    with pytest.raises(FencedError):
        writer.sweep()
    assert [one.state for one in start_offsets(writer, topic_of(writer)).load([0, 1, 2, 3])] == [
        PartitionState.READING
    ] * 4
    writer.write([event(at=1)])
    writer.sweep()


def test_counters_are_left_out_from_the_restore_until_everything_is_read_again(writer):
    events = [item.event for item in stream(300)]
    writer.write(events)
    counters, catching_up = exported(writer.connection)
    assert counters
    assert not catching_up
    ends = topic_of(writer)
    for partition in range(writer.partitions):
        ends.append(partition, b"", b"")
    writer.connection.execute("update store_incarnations set identity = 'another server'")
    assert exported(writer.connection) == ({}, 1), "no projector has started"
    assert "stumble_action_requests_open" in exposition(None, store_metrics(writer.connection))[0].decode()
    ensure_incarnation(writer.connection)
    assert exported(writer.connection) == ({}, 1), "no projector has noted where the topic ends"
    start_offsets(writer, ends).load([0, 1])
    assert exported(writer.connection) == ({}, 1), "nobody has noted it of half of the partitions"
    start_offsets(writer, ends).load([2, 3])
    assert exported(writer.connection) == ({}, 1), "nothing is read yet"
    advance(writer, 1)
    assert exported(writer.connection) == ({}, 1), "one record of each partition is not read yet"
    advance(writer, 1)
    assert exported(writer.connection) == (counters, 0)
    writer.connection.execute(
        query("set_offset"), {"topic": "instance-actions", "topic_id": "t1", "partition": 0, "offset": 0}
    )
    assert exported(writer.connection) == (counters, 0), "an operator reads a partition again"


def advance(writer, count):
    """Move the offsets of all partitions, as batches without events do."""
    order = sorted(writer.offsets)
    moved = {partition: writer.offsets[partition] + count for partition in order}
    parameters = {
        "topic": "instance-actions",
        "topic_id": "t1",
        "partitions": order,
        "expected": [writer.offsets[partition] for partition in order],
        "offsets": [moved[partition] for partition in order],
        "last_record_at": [None] * len(order),
        "leader_epochs": [None] * len(order),
    }
    assert len(writer.connection.execute(query("advance_offsets"), parameters).fetchall()) == len(order)
    writer.offsets = moved


def test_store_that_is_behind_its_consumer_group_begins_an_incarnation(writer):
    """A disk that is set back to a snapshot changes nothing by which PostgreSQL could tell."""
    writer.write([item.event for item in stream(100)])
    consumer = topic_of(writer)
    consumer.commit(writer.offsets)
    start_offsets(writer, consumer).load([0, 1, 2, 3])
    before = last_incarnation(writer.connection)
    fullest = max(writer.offsets, key=writer.offsets.__getitem__)
    writer.connection.execute(
        "update offsets set next_offset = 1, highest_offset = 1 where kafka_partition = %s", (fullest,)
    )
    start_offsets(writer, consumer).load([0, 1, 2, 3])
    after = last_incarnation(writer.connection)
    assert after.number > before.number
    assert "older offsets than the consumer group" in after.reason
    assert exported(writer.connection)[1] == 1
    start_offsets(writer, consumer).load([0, 1, 2, 3])
    assert last_incarnation(writer.connection) == after


def test_offset_that_an_operator_set_back_begins_no_incarnation(writer):
    writer.write([item.event for item in stream(100)])
    consumer = topic_of(writer)
    consumer.commit(writer.offsets)
    before = last_incarnation(writer.connection)
    for partition in writer.offsets:
        writer.connection.execute(
            query("set_offset"), {"topic": "instance-actions", "topic_id": "t1", "partition": partition, "offset": 0}
        )
    start_offsets(writer, consumer).load(list(writer.offsets))
    assert last_incarnation(writer.connection) == before
    assert exported(writer.connection)[1] == 0
