"""What the alerter reads: nothing left out, in the order of revisions, marked by one holder only."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from stumble.alerts.lease import Lease, LeaseLostError
from stumble.alerts.publications import PublicationCursor
from stumble.ingest import fold
from stumble.ingest.rederive import InstanceSelection, rederive
from stumble.store.connect import connect
from stumble.testing.events import event, failure
from tests.support.projection import eventually

INSERT = (
    "insert into publications (kind, subject_id, request_key, instance_uuid, revision, status, payload, "
    "kafka_partition) values ('failure', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), "
    "1, 'CURRENT', '{}', 0) returning id"
)


#: What a writer of publications begins with.
LOCK = "select pg_advisory_xact_lock(7, %s)"


def opened(session, seconds=10.0):
    lease = Lease("alerter", seconds)
    assert lease.held(session)
    feed = PublicationCursor(lease)
    feed.open(session)
    return lease, feed


def read(feed, session, count):
    """Read when no older transaction is open any more: the server is shared, others' transactions count too."""
    eventually(lambda: count - len(feed.read(session, 10)))
    return feed.read(session, 10)


def test_a_row_that_commits_late_is_not_skipped(store_url):
    with connect(store_url) as session, connect(store_url, autocommit=False) as slow, connect(store_url) as quick:
        _, feed = opened(session)
        slow.execute(LOCK, (1,))
        early = slow.execute(INSERT).fetchone()[0]
        later = quick.execute(INSERT).fetchone()[0]
        assert early < later
        assert feed.read(session, 10) == []
        slow.commit()
        rows = read(feed, session, 2)
        assert [row.id for row in rows] == [early, later]
        feed.mark(session, rows[-1])
        assert feed.read(session, 10) == []


def test_a_lower_transaction_that_commits_after_a_higher_one_was_read(store_url):
    with connect(store_url) as session, connect(store_url, autocommit=False) as slow, connect(store_url) as quick:
        _, feed = opened(session)
        before = quick.execute(INSERT).fetchone()[0]
        (row,) = read(feed, session, 1)
        feed.mark(session, row)
        slow.execute(LOCK, (1,))
        slow.execute("select pg_current_xact_id()")
        after = quick.execute(INSERT).fetchone()[0]
        late = slow.execute(INSERT).fetchone()[0]
        assert before < after < late
        assert feed.read(session, 10) == []
        slow.commit()
        assert {row.id for row in read(feed, session, 2)} == {after, late}


def test_whoever_else_writes_for_long_on_the_server_holds_nothing_up(store_url, new_database):
    with (
        connect(store_url) as session,
        connect(store_url, autocommit=False) as here,
        connect(new_database(), autocommit=False) as elsewhere,
    ):
        _, feed = opened(session)
        for other in (here, elsewhere):
            other.execute("select pg_current_xact_id()")
        with connect(store_url) as quick:
            first = quick.execute(INSERT).fetchone()[0]
        assert [row.id for row in feed.read(session, 10)] == [first]


def test_none_is_passed_over_however_writers_come_and_go(store_url):
    """Each takes its lock before it has an id, some hold theirs for long, some give up; the reader never goes back."""
    written, writers, rng = set(), 6, Random(7)
    pauses = [[rng.choice((0, 0, 0.001, 0.01, 0.05)) for _ in range(120)] for _ in range(writers)]

    def write(number):
        with connect(store_url, autocommit=False) as own:
            for turn, pause in enumerate(pauses[number]):
                own.execute(LOCK, (number // 2,))  # two of them share each lock
                time.sleep(pause / 10)
                found = own.execute(INSERT).fetchone()[0]
                time.sleep(pause)
                if turn % 7 == 6:
                    own.rollback()
                    continue
                own.commit()
                written.add(found)

    with connect(store_url) as session, ThreadPoolExecutor(writers) as pool:
        _, feed = opened(session)
        at_work = [pool.submit(write, number) for number in range(writers)]
        read_so_far, over = [], False
        while not over:
            over = all(one.done() for one in at_work)
            while rows := feed.read(session, 50):
                read_so_far += [row.id for row in rows]
                feed.mark(session, rows[-1])
        for one in at_work:
            one.result()
    assert len(read_so_far) == len(set(read_so_far))
    assert set(read_so_far) == written


def test_one_holds_the_lease_and_a_stale_ones_marks_are_rejected(store_url):
    with connect(store_url) as session:
        session.execute(INSERT)
        stale, feed = opened(session, seconds=3)
        other = Lease("alerter", 10)
        assert not other.held(session)
        rows = read(feed, session, 1)
        eventually(lambda: not other.held(session))
        assert other.token > stale.token
        with pytest.raises(LeaseLostError):
            feed.mark(session, rows[-1])
        fresh = PublicationCursor(other)
        fresh.open(session)
        assert [row.id for row in fresh.read(session, 10)] == [row.id for row in rows]


def test_a_lease_that_is_left_is_free_at_once(store_url):
    with connect(store_url) as session:
        first, second = Lease("alerter"), Lease("alerter")
        assert first.held(session)
        first.leave(session)
        assert second.held(session)


def published(hand):
    return hand.rows("select kind, subject_id::text, revision, status, replaced_by::text from publications order by id")


def test_verdict_before_cause_is_corrected_after_publication(hand):
    at_conductor = {"service": "nova-conductor", "host": "conductor-1", "action": "create"}
    start = event(action="create", service="nova-api", host="api-1")
    hand.write([start])
    verdict = event(
        signal="compute_task.build_instances",
        phase="ERROR",
        at=9,
        failure=failure("MaxRetriesExceeded"),
        **at_conductor,
    )
    hand.write([verdict])
    (_, summary, *_), *_ = [row for row in published(hand) if row[0] == "failure"]
    cause = event(
        action="create",
        signal="instance.create",
        scope="STEP",
        phase="ERROR",
        at=5,
        failure=failure("ComputeResourcesUnavailable"),
    )
    hand.write([cause])
    (cause_id,) = hand.rows("select failure_id::text from failures")[0]
    assert hand.rows("select verdict, outcome from requests") == [("MaxRetriesExceeded", "FAILED")]
    last = {row[1]: row[2:] for row in published(hand) if row[0] == "failure"}
    assert last == {summary: (2, "SUPERSEDED", cause_id), cause_id: (1, "CURRENT", None)}
    outcomes = [row[2] for row in published(hand) if row[0] == "outcome"]
    assert outcomes == sorted(set(outcomes))


def test_a_withdrawn_failure_is_told_with_its_last_content(hand):
    test_verdict_before_cause_is_corrected_after_publication(hand)
    rows = hand.rows("select payload->>'exception' from publications where status = 'SUPERSEDED'")
    assert rows == [("MaxRetriesExceeded",)]


def test_a_change_of_rules_publishes_its_corrections(hand, monkeypatch):
    hand.write(
        [event(), event(signal="event_finish", phase="ERROR", step="compute_stop_instance", at=1, failure=failure())]
    )
    real = fold.derive_sets

    def stricter(*arguments):
        return tuple(
            dataclasses.replace(
                record, failures=tuple(dataclasses.replace(one, blame="USER") for one in record.failures)
            )
            for record in real(*arguments)
        )

    before = published(hand)
    assert rederive(hand.connection, "instance-actions", InstanceSelection()).publications == 0
    monkeypatch.setattr(fold, "derive_sets", stricter)
    assert rederive(hand.connection, "instance-actions", InstanceSelection(), dry_run=True).publications == 1
    assert published(hand) == before
    assert rederive(hand.connection, "instance-actions", InstanceSelection()).failures == 1
    assert [(row[0], row[2]) for row in published(hand)[len(before) :]] == [("failure", 2)]
    assert hand.rows("select blame from failures") == [("USER",)]
    counted = dict(hand.rows("select metric || labels::text, sum(value) from counters group by 1"))
    assert counted["failures{stop,USER}"] == 1
    assert sum(value for name, value in counted.items() if name.startswith("failures_withdrawn")) == 1


def test_revisions_go_on_rising_after_a_rebuild(hand, store_url):
    events = [
        event(),
        event(signal="event_finish", phase="ERROR", step="compute_stop_instance", at=1, failure=failure()),
    ]
    hand.write(events)
    before = published(hand)
    for table in ("events", "fact_sets", "requests", "failures", "sightings"):
        hand.connection.execute(f"truncate {table}")
    hand.write(events)
    assert published(hand) == before
    hand.write([event(signal="event_finish", phase="END", step="compute_stop_instance", at=2)])
    revisions = [row[2] for row in published(hand) if row[0] == "outcome"]
    assert revisions == list(range(1, len(revisions) + 1))
