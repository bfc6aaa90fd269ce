"""One transaction per batch: for any order of the events the store equals what is derived from them."""

from __future__ import annotations

import random
import threading

import psycopg
import pytest
from psycopg.errors import SerializationFailure

from stumble.ingest import factsets
from stumble.ingest.batch import Batch, OffsetSpan
from stumble.ingest.errors import FencedError, MissedVersionError, NulTextError
from stumble.ingest.rederive import InstanceSelection, rederive
from stumble.ingest.transaction import end_stopped_writers
from stumble.simulator import Disturbance
from stumble.store import partitions
from stumble.store.connect import connect
from stumble.store.partitions import EventPartitions, day_of_id, first_id, partition_name
from stumble.testing.events import NOW_US, event, failure, framed
from stumble.testing.in_memory import InMemoryRecord
from stumble.wire.ids import new_event_id
from tests.integration.projector.relays import now_us
from tests.support.projection import differences, stream

DAY_US = 86_400_000_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_result_is_independent_of_order_duplicates_and_batches(writer, store_url, seed):
    rng = random.Random(seed)
    events = [item.event for item in stream(900, seed=seed)]
    shuffled = [*events, *rng.sample(events, 100)]
    rng.shuffle(shuffled)
    while shuffled:
        size = rng.choice((1, 7, 120, 400))
        writer.write(shuffled[:size])
        del shuffled[:size]
    writer.sweep()
    assert differences(store_url, events) == []


def test_outcomes_in_the_store_equal_the_truth_of_the_fleet(writer, store_url):
    items = stream(1500, disturbance=Disturbance())
    writer.write([item.event for item in items])
    writer.sweep()
    truths = [truth for item in items for truth in item.truths]
    rows = {row[0]: row[1] for row in writer.rows("select request_key::text, outcome from requests")}
    assert {truth.request_key: truth.outcome for truth in truths} == {
        t.request_key: rows[t.request_key] for t in truths
    }


def test_message_that_a_reason_withholds_is_stored_with_the_event_and_published_nowhere(writer):
    failed = {**failure("libvirtError", "internal error: 10.0.0.1"), "reason": "libvirtError"}
    known = failure(message="no answer")
    writer.write([event(phase="ERROR", signal="event_finish", step="compute_stop_instance", failure=failed)])
    writer.write([event(phase="ERROR", signal="fault", request_id="req-2", failure=known)])
    rows = writer.rows(
        "select exception, reason, message from failures join events on event_id = detail_event_id order by exception"
    )
    assert rows == [
        ("InstancePowerOffFailure", "no answer", None),
        (
            "libvirtError",
            "libvirtError: the host's disk or libvirt refused the operation; the operator can see why.",
            "internal error: 10.0.0.1",
        ),
    ]
    assert writer.rows("select count(*) from publications where payload::text like '%%10.0.0.1%%'") == [(0,)]


def test_repeated_batch_changes_nothing(writer, store_url):
    events = [item.event for item in stream(600)]
    writer.write(events)
    before = writer.rows("select max(id), count(*) from publications")
    summary = writer.write(events)
    assert (summary.events, writer.rows("select max(id), count(*) from publications")) == (0, before)
    writer.sweep()
    assert differences(store_url, events) == []


def test_batch_with_outdated_offsets_is_fenced_and_changes_nothing(new_writer, store_url):
    first, zombie = new_writer(), new_writer()
    events = [item.event for item in stream(400)]
    late = zombie.batch(events)
    first.write(events)
    with pytest.raises(FencedError) as caught:
        zombie.store_writer.apply(zombie.connection, late)
    assert caught.value.partitions == frozenset(late.spans)
    first.sweep()
    assert differences(store_url, events) == []


def test_only_partitions_with_moved_offsets_are_fenced(new_writer):
    first, second = new_writer(), new_writer()
    events = [item.event for item in stream(300)]
    first.write([one for one in events if first.partition_of(one) == 2])
    with pytest.raises(FencedError) as caught:
        second.store_writer.apply(second.connection, second.batch(events))
    assert caught.value.partitions == {2}


def test_another_topic_id_fences_all_partitions(new_writer):
    new_writer()
    other = new_writer(topic_id="t2")
    with pytest.raises(FencedError):
        other.write([event()])


def test_concurrent_change_of_a_row_rolls_the_batch_back(writer, store_url, monkeypatch):
    writer.write([event()])
    real = factsets.load_facts

    def load_and_modify(cursor, touched):
        loaded = real(cursor, touched)
        with connect(store_url) as other:
            other.execute("update fact_sets set version = version + 1")
        return loaded

    monkeypatch.setattr(factsets, "load_facts", load_and_modify)
    with pytest.raises(MissedVersionError):
        writer.write([event(phase="END", signal="event_finish", step="compute_stop_instance", at=1)])
    assert writer.rows("select count(*) from events") == [(1,)]
    assert writer.rows("select max(next_offset) from offsets") == [(1,)]


def test_revisions_rise_with_transaction_ids_when_an_instance_changes_its_partition(new_writer, store_url, monkeypatch):
    events = [
        event(),
        event(signal="event_finish", phase="ERROR", step="compute_stop_instance", at=1, failure=failure()),
        event(signal="event_finish", phase="END", step="compute_stop_instance", at=2),
    ]
    before, after = new_writer(), new_writer(partitions=7)
    assert before.partition_of(events[0]) != after.partition_of(events[0])
    real = factsets.load_facts
    pending = [events[:2]]

    def load_after_newer_transaction(cursor, touched):
        if pending:  # this transaction has its id; a newer one writes the first revision and commits
            before.write(pending.pop())
        return real(cursor, touched)

    monkeypatch.setattr(factsets, "load_facts", load_after_newer_transaction)
    with pytest.raises(SerializationFailure, match="a newer transaction wrote an earlier revision"):
        after.write(events[2:])
    after.write(events[2:])
    statement = "select revision, correction from publications where kind = 'outcome' order by xid, id"
    (first, corrected), (second, again) = after.rows(statement)
    assert first < second
    assert (corrected, again) == (False, True)
    assert differences(store_url, events) == []


def test_writer_stopped_in_its_transaction_can_be_ended(new_writer):
    stopped, other = new_writer(), new_writer()
    one = event()
    with stopped.connection.transaction():
        partition = stopped.partition_of(one)
        statement = "select pg_advisory_xact_lock(hashtext('instance-actions'), %s)"
        stopped.connection.execute(statement, (partition,))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.write([one])
        assert len(end_stopped_writers(other.connection, "instance-actions")) == 1
        assert other.write([one]).events == 1
        with pytest.raises(psycopg.OperationalError):
            stopped.connection.execute("select 1")


def test_four_writers_of_failures_of_one_problem_do_not_deadlock(new_writer, store_url):
    events = [item.event for item in stream(3000, failures=0.9, hot_share=1.0, instances=400)]
    writers = [new_writer() for _ in range(4)]
    errors = []

    def work(number):
        own_events = [one for one in events if writers[0].partition_of(one) == number]
        try:
            for start in range(0, len(own_events), 40):
                writers[number].write(own_events[start : start + 40])
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number, one in enumerate(writers):
        writers[0].offsets[number] = one.offsets[number]
    writers[0].sweep()
    assert differences(store_url, events) == []
    assert writers[0].rows("select count(distinct kafka_partition) from failures") == [(4,)]


def test_events_with_implausible_ids_are_stored(writer, store_url):
    now = now_us()  # a new day may have begun since the tests started
    tomorrow = now + DAY_US
    soon = now + 3 * DAY_US
    odd_events = [
        event(event_id="ffffffff-ffff-4fff-bfff-ffffffffffff", request_id="r1"),
        event(event_id="00000000-0000-4000-8000-000000000001", request_id="r2"),
        event(event_id=new_event_id(soon), request_id="r3"),
        event(event_id=new_event_id(tomorrow), request_id="r4"),
    ]
    assert writer.write(odd_events).events == 4
    assert writer.rows("select count(*) from events_default") == [(3,)]
    day = day_of_id(bytes.fromhex(odd_events[2]["event_id"].replace("-", "")))
    partitions.create_partition(writer.connection, day)
    assert writer.rows(f"select count(*) from {partition_name(day)}") == [(1,)]
    assert writer.write([*odd_events, event(event_id=new_event_id(soon + 1), request_id="r5")]).events == 1


def test_partitions_are_created_ahead_and_old_ones_are_dropped(writer):
    events = EventPartitions(30)
    now = now_us()
    events.make_ahead(writer.connection)
    days = {day_of_id(bytes.fromhex(new_event_id(now + n * DAY_US).replace("-", ""))) for n in range(3)}
    names = {row[0] for row in writer.rows("select relname from pg_class where relname ~ '^events_2'")}
    assert {partition_name(day) for day in days} <= names
    writer.write([event(event_id=new_event_id(now - 40 * DAY_US))])
    assert events.drop_old(writer.connection) == [partition_name(min(days) - 40)]
    assert first_id(min(days)) < new_event_id(now) < first_id(min(days) + 1)


def test_event_older_than_the_retention_of_requests_is_only_counted_as_late(writer):
    writer.store_writer.requests_days = 300
    old = event(event_id=new_event_id(NOW_US - 390 * DAY_US), occurred_at=NOW_US - 390 * DAY_US)
    summary = writer.write([old, event(request_id="r2", at=1)])
    assert (summary.events, summary.late) == (1, 1)
    assert writer.write([old]).late == 0
    assert writer.rows("select count(*) from late_events") == [(1,)]
    assert writer.rows("select count(*) from requests") == [(1,)]
    assert writer.rows("select sum(value) from counters where metric = 'late_events'") == [(1,)]


@pytest.mark.parametrize(
    "claimed",
    [0, NOW_US - 500 * DAY_US, NOW_US + 2 * DAY_US, 253_369_000_000_000_000, 2**63 - 1],
    ids=["1970", "too old", "two days ahead", "9998", "largest"],
)
def test_event_of_a_host_with_a_wrong_clock_is_stored_at_the_time_when_kafka_received_it(writer, store_url, claimed):
    wrong = event(event_id=new_event_id(claimed), occurred_at=claimed, phase="ERROR", failure=failure())
    right = event(request_id="r2", at=1, phase="ERROR", failure=failure())
    summary = writer.write([wrong, right])
    assert (summary.events, summary.late, [one.claimed_at for one in summary.misdated]) == (2, 0, [claimed])
    ages = writer.rows("select max(now() - occurred_at) < interval '1 hour', count(*) from failures")
    assert ages == [(True, 2)]
    assert writer.rows("select sum(value) from counters where metric = 'replaced_times'") == [(1,)]
    report = rederive(writer.connection, "instance-actions", InstanceSelection(), from_events=True)
    assert (report.requests, report.publications) == (0, 0)
    assert writer.write([wrong]).events == 0


def test_repeated_event_of_a_dropped_partition_changes_nothing(writer):
    events = [
        event(),
        event(phase="ERROR", signal="event_finish", step="compute_stop_instance", at=1, failure=failure()),
    ]
    writer.write(events)
    before = writer.rows("select id, revision from publications"), writer.rows("select value from counters")
    writer.connection.execute("truncate events")
    assert writer.write(events).events == 2
    assert (writer.rows("select id, revision from publications"), writer.rows("select value from counters")) == before


def test_nul_in_text_is_replaced(writer):
    record_with_nul = framed(event(host="a~b")).replace(b"a~b", b"a\x00b")
    batch = Batch(
        [writer.decoder.decode_event(InMemoryRecord(record_with_nul, 0, 0), record_with_nul, 0, 0)],
        [],
        {0: OffsetSpan(0, 1)},
    )
    with pytest.raises(NulTextError):
        writer.store_writer.apply(writer.connection, batch)
    for reading in batch.readings:
        reading.clean()
    writer.store_writer.apply(writer.connection, batch)
    assert writer.rows("select host from requests") == [("a\N{REPLACEMENT CHARACTER}b",)]
