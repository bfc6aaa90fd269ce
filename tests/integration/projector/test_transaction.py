"""One transaction a batch: whatever comes in whatever order, the store is what the events come to."""

from __future__ import annotations

import random
import threading

import psycopg
import pytest
from psycopg.errors import SerializationFailure

from stumble.ingest import factsets
from stumble.ingest.batch import Batch, OffsetSpan
from stumble.ingest.errors import FencedError, MissedVersionError, NulTextError
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
def test_order_duplicates_and_batching_do_not_matter(hand, store_url, seed):
    rng = random.Random(seed)
    events = [item.event for item in stream(900, seed=seed)]
    shuffled = [*events, *rng.sample(events, 100)]
    rng.shuffle(shuffled)
    while shuffled:
        size = rng.choice((1, 7, 120, 400))
        hand.write(shuffled[:size])
        del shuffled[:size]
    hand.sweep()
    assert differences(store_url, events) == []


def test_the_truth_of_the_fleet_is_in_the_store(hand, store_url):
    items = stream(1500, disturbance=Disturbance())
    hand.write([item.event for item in items])
    hand.sweep()
    truths = [truth for item in items for truth in item.truths]
    rows = {row[0]: row[1] for row in hand.rows("select request_key::text, outcome from requests")}
    assert {truth.request_key: truth.outcome for truth in truths} == {
        t.request_key: rows[t.request_key] for t in truths
    }


def test_a_batch_twice_changes_nothing_the_second_time(hand, store_url):
    events = [item.event for item in stream(600)]
    hand.write(events)
    before = hand.rows("select max(id), count(*) from publications")
    applied = hand.write(events)
    assert (applied.events, hand.rows("select max(id), count(*) from publications")) == (0, before)
    hand.sweep()
    assert differences(store_url, events) == []


def test_a_zombie_finds_its_offset_moved_and_changes_nothing(new_hand, store_url):
    first, zombie = new_hand(), new_hand()
    events = [item.event for item in stream(400)]
    late = zombie.batch(events)
    first.write(events)
    with pytest.raises(FencedError) as caught:
        zombie.ledger.apply(zombie.connection, late)
    assert caught.value.partitions == frozenset(late.spans)
    first.sweep()
    assert differences(store_url, events) == []


def test_only_the_partitions_that_moved_are_fenced(new_hand):
    first, second = new_hand(), new_hand()
    events = [item.event for item in stream(300)]
    first.write([one for one in events if first.partition_of(one) == 2])
    with pytest.raises(FencedError) as caught:
        second.ledger.apply(second.connection, second.batch(events))
    assert caught.value.partitions == {2}


def test_another_topic_id_fences_everything(new_hand):
    new_hand()
    other = new_hand(topic_id="t2")
    with pytest.raises(FencedError):
        other.write([event()])


def test_a_row_that_was_written_meanwhile_rolls_the_batch_back(hand, store_url, monkeypatch):
    hand.write([event()])
    real = factsets.load

    def meddling(cursor, touched):
        loaded = real(cursor, touched)
        with connect(store_url) as other:
            other.execute("update fact_sets set version = version + 1")
        return loaded

    monkeypatch.setattr(factsets, "load", meddling)
    with pytest.raises(MissedVersionError):
        hand.write([event(phase="END", signal="event_finish", step="compute_stop_instance", at=1)])
    assert hand.rows("select count(*) from events") == [(1,)]
    assert hand.rows("select max(next_offset) from offsets") == [(1,)]


def test_revisions_rise_with_transactions_when_an_instance_moves_to_another_partition(new_hand, store_url, monkeypatch):
    events = [
        event(),
        event(signal="event_finish", phase="ERROR", step="compute_stop_instance", at=1, failure=failure()),
        event(signal="event_finish", phase="END", step="compute_stop_instance", at=2),
    ]
    before, after = new_hand(), new_hand(partitions=7)
    assert before.partition_of(events[0]) != after.partition_of(events[0])
    real = factsets.load
    left = [events[:2]]

    def overtaken(cursor, touched):
        if left:  # this transaction has its id; a newer one writes the first revision and commits
            before.write(left.pop())
        return real(cursor, touched)

    monkeypatch.setattr(factsets, "load", overtaken)
    with pytest.raises(SerializationFailure, match="a newer transaction wrote revision 1"):
        after.write(events[2:])
    after.write(events[2:])
    revisions = after.rows("select subject_id, revision from publications where kind = 'outcome' order by xid, id")
    assert [revision for _, revision in revisions] == [1, 2]
    assert differences(store_url, events) == []


def test_a_writer_that_stands_still_in_its_transaction_is_got_past(new_hand):
    stopped, other = new_hand(), new_hand()
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


def test_four_writers_of_failures_of_one_problem_never_deadlock(new_hand, store_url):
    events = [item.event for item in stream(3000, failures=0.9, hot_share=1.0, instances=400)]
    hands = [new_hand() for _ in range(4)]
    errors = []

    def work(number):
        mine = [one for one in events if hands[0].partition_of(one) == number]
        try:
            for start in range(0, len(mine), 40):
                hands[number].write(mine[start : start + 40])
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for number, one in enumerate(hands):
        hands[0].offsets[number] = one.offsets[number]
    hands[0].sweep()
    assert differences(store_url, events) == []
    assert hands[0].rows("select count(distinct kafka_partition) from failures") == [(4,)]


def test_implausible_ids_block_nothing(hand, store_url):
    now = now_us()  # a day may have begun since the tests did
    tomorrow = now + DAY_US
    soon = now + 3 * DAY_US
    odd = [
        event(event_id="ffffffff-ffff-4fff-bfff-ffffffffffff", request_id="r1"),
        event(event_id="00000000-0000-4000-8000-000000000001", request_id="r2"),
        event(event_id=new_event_id(soon), request_id="r3"),
        event(event_id=new_event_id(tomorrow), request_id="r4"),
    ]
    assert hand.write(odd).events == 4
    assert hand.rows("select count(*) from events_default") == [(3,)]
    day = day_of_id(bytes.fromhex(odd[2]["event_id"].replace("-", "")))
    partitions.create_partition(hand.connection, day)
    assert hand.rows(f"select count(*) from {partition_name(day)}") == [(1,)]
    assert hand.write([*odd, event(event_id=new_event_id(soon + 1), request_id="r5")]).events == 1


def test_partitions_are_made_ahead_and_old_ones_dropped(hand):
    events = EventPartitions(30)
    now = now_us()
    events.make_ahead(hand.connection)
    days = {day_of_id(bytes.fromhex(new_event_id(now + n * DAY_US).replace("-", ""))) for n in range(3)}
    names = {row[0] for row in hand.rows("select relname from pg_class where relname ~ '^events_2'")}
    assert {partition_name(day) for day in days} <= names
    hand.write([event(event_id=new_event_id(now - 40 * DAY_US))])
    assert events.drop_old(hand.connection) == [partition_name(min(days) - 40)]
    assert first_id(min(days)) < new_event_id(now) < first_id(min(days) + 1)


def test_what_is_older_than_requests_are_kept_is_late_and_no_more(hand):
    old = event(event_id=new_event_id(NOW_US - 500 * DAY_US), occurred_at=NOW_US - 500 * DAY_US)
    applied = hand.write([old, event(request_id="r2", at=1)])
    assert (applied.events, applied.late) == (1, 1)
    assert hand.write([old]).late == 0
    assert hand.rows("select count(*) from late_events") == [(1,)]
    assert hand.rows("select count(*) from requests") == [(1,)]
    assert hand.rows("select sum(value) from counters where metric = 'late_events'") == [(1,)]


def test_an_event_whose_partition_was_dropped_is_absorbed_by_its_request(hand):
    events = [
        event(),
        event(phase="ERROR", signal="event_finish", step="compute_stop_instance", at=1, failure=failure()),
    ]
    hand.write(events)
    before = hand.rows("select id, revision from publications"), hand.rows("select value from counters")
    hand.connection.execute("truncate events")
    assert hand.write(events).events == 2
    assert (hand.rows("select id, revision from publications"), hand.rows("select value from counters")) == before


def test_nul_in_text_is_replaced(hand):
    dirty = framed(event(host="a~b")).replace(b"a~b", b"a\x00b")
    batch = Batch([hand.decoder.decode_event(InMemoryRecord(dirty, 0, 0), dirty, 0, 0)], [], {0: OffsetSpan(0, 1)})
    with pytest.raises(NulTextError):
        hand.ledger.apply(hand.connection, batch)
    for reading in batch.readings:
        reading.clean()
    hand.ledger.apply(hand.connection, batch)
    assert hand.rows("select host from requests") == [("a\N{REPLACEMENT CHARACTER}b",)]
