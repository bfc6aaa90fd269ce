"""The alerter's reading of publications: no row is skipped, in order of revisions, marks by the lease holder only."""

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
from stumble.outcome import fingerprint
from stumble.outcome.derive import derive_sets
from stumble.store.connect import connect
from stumble.testing.events import event, failure
from tests.support.projection import eventually

INSERT = (
    "insert into publications (kind, subject_id, request_key, instance_uuid, revision, correction, status, payload, "
    "kafka_partition, incarnation) values ('failure', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), "
    "1, false, 'CURRENT', '{}', 0, (select max(number) from store_incarnations)) returning id"
)


#: The first statement of each writer of publications.
LOCK = "select pg_advisory_xact_lock(7, %s)"


def insert_publication(session):
    """Insert a publication; returns its id."""
    return session.execute(INSERT).fetchone()[0]


def open_cursor(session, seconds=10.0):
    lease = Lease("alerter", seconds)
    assert lease.held(session)
    cursor = PublicationCursor(lease)
    cursor.open(session)
    return lease, cursor


def read(cursor, session, count):
    """Read when no older transaction is open; transactions of other tests on the shared server count, too."""
    eventually(lambda: count - len(cursor.read(session, 10)))
    return cursor.read(session, 10)


def test_row_that_commits_late_is_not_skipped(store_url):
    with (
        connect(store_url) as session,
        connect(store_url, autocommit=False) as slow,
        connect(store_url) as other_session,
    ):
        _, cursor = open_cursor(session)
        slow.execute(LOCK, (1,))
        early = insert_publication(slow)
        later = insert_publication(other_session)
        assert early < later
        assert cursor.read(session, 10) == []
        slow.commit()
        rows = read(cursor, session, 2)
        assert [row.id for row in rows] == [early, later]
        cursor.mark(session, rows[-1])
        assert cursor.read(session, 10) == []


def test_late_commit_of_a_lower_transaction_is_read_after_a_higher_one(store_url):
    with (
        connect(store_url) as session,
        connect(store_url, autocommit=False) as slow,
        connect(store_url) as other_session,
    ):
        _, cursor = open_cursor(session)
        before = insert_publication(other_session)
        (row,) = read(cursor, session, 1)
        cursor.mark(session, row)
        slow.execute(LOCK, (1,))
        slow.execute("select pg_current_xact_id()")
        after = insert_publication(other_session)
        late = insert_publication(slow)
        assert before < after < late
        assert cursor.read(session, 10) == []
        slow.commit()
        assert {row.id for row in read(cursor, session, 2)} == {after, late}


def test_long_transactions_without_publications_do_not_delay_reading(store_url, new_database):
    with (
        connect(store_url) as session,
        connect(store_url, autocommit=False) as same_database,
        connect(new_database(), autocommit=False) as other_database,
    ):
        _, cursor = open_cursor(session)
        for other in (same_database, other_database):
            other.execute("select pg_current_xact_id()")
        with connect(store_url) as other_session:
            first = insert_publication(other_session)
        assert [row.id for row in cursor.read(session, 10)] == [first]


def test_no_row_of_concurrent_writers_is_skipped(store_url):
    """Each writer locks before it gets an id; some hold the lock for long, some roll back; the reader only advances."""
    written, writers, rng = set(), 6, Random(7)
    pauses = [[rng.choice((0, 0, 0.001, 0.01, 0.05)) for _ in range(120)] for _ in range(writers)]

    def write(number):
        with connect(store_url, autocommit=False) as connection:
            for turn, pause in enumerate(pauses[number]):
                connection.execute(LOCK, (number // 2,))  # two of them share each lock
                time.sleep(pause / 10)
                row_id = insert_publication(connection)
                time.sleep(pause)
                if turn % 7 == 6:
                    connection.rollback()
                    continue
                connection.commit()
                written.add(row_id)

    with connect(store_url) as session, ThreadPoolExecutor(writers) as pool:
        _, cursor = open_cursor(session)
        futures = [pool.submit(write, number) for number in range(writers)]
        read_so_far, done = [], False
        while not done:
            done = all(one.done() for one in futures)
            while rows := cursor.read(session, 50):
                read_so_far += [row.id for row in rows]
                cursor.mark(session, rows[-1])
        for one in futures:
            one.result()
    assert len(read_so_far) == len(set(read_so_far))
    assert set(read_so_far) == written


def test_lease_has_one_holder_and_marks_of_a_lost_lease_are_rejected(store_url):
    with connect(store_url) as session:
        insert_publication(session)
        stale, cursor = open_cursor(session, seconds=3)
        other = Lease("alerter", 10)
        assert not other.held(session)
        rows = read(cursor, session, 1)
        eventually(lambda: not other.held(session))
        assert other.token > stale.token
        with pytest.raises(LeaseLostError):
            cursor.mark(session, rows[-1])
        new_cursor = PublicationCursor(other)
        new_cursor.open(session)
        assert [row.id for row in new_cursor.read(session, 10)] == [row.id for row in rows]


def test_released_lease_can_be_acquired_immediately(store_url):
    with connect(store_url) as session:
        first, second = Lease("alerter"), Lease("alerter")
        assert first.held(session)
        first.leave(session)
        assert second.held(session)


def published(writer):
    return writer.rows(
        "select kind, subject_id::text, row_number() over (partition by subject_id order by revision), status,"
        " replaced_by::text from publications order by id"
    )


def test_verdict_before_cause_is_corrected_after_publication(writer):
    at_conductor = {"service": "nova-conductor", "host": "conductor-1", "action": "create"}
    start = event(action="create", service="nova-api", host="api-1")
    writer.write([start])
    verdict = event(
        signal="compute_task.build_instances",
        phase="ERROR",
        at=9,
        failure=failure("MaxRetriesExceeded"),
        **at_conductor,
    )
    writer.write([verdict])
    (_, summary, *_), *_ = [row for row in published(writer) if row[0] == "failure"]
    cause = event(
        action="create",
        signal="instance.create",
        scope="STEP",
        phase="ERROR",
        at=5,
        failure=failure("ComputeResourcesUnavailable"),
    )
    writer.write([cause])
    (cause_id,) = writer.rows("select failure_id::text from failures")[0]
    assert writer.rows("select verdict, outcome from requests") == [("MaxRetriesExceeded", "FAILED")]
    last = {row[1]: row[2:] for row in published(writer) if row[0] == "failure"}
    assert last == {summary: (2, "SUPERSEDED", cause_id), cause_id: (1, "CURRENT", None)}
    outcomes = [row[2] for row in published(writer) if row[0] == "outcome"]
    assert outcomes == sorted(set(outcomes))


def test_superseded_failure_is_published_with_its_last_content(writer):
    test_verdict_before_cause_is_corrected_after_publication(writer)
    rows = writer.rows("select payload->>'exception' from publications where status = 'SUPERSEDED'")
    assert rows == [("MaxRetriesExceeded",)]


def test_rederive_after_a_change_of_rules_publishes_corrections(writer, monkeypatch):
    writer.write(
        [event(), event(signal="event_finish", phase="ERROR", step="compute_stop_instance", at=1, failure=failure())]
    )

    def stricter(*arguments):
        return tuple(
            dataclasses.replace(
                record, failures=tuple(dataclasses.replace(one, blame="USER") for one in record.failures)
            )
            for record in derive_sets(*arguments)
        )

    before = published(writer)
    assert rederive(writer.connection, "instance-actions", InstanceSelection()).publications == 0
    monkeypatch.setattr(fold, "derive_sets", stricter)
    assert rederive(writer.connection, "instance-actions", InstanceSelection(), dry_run=True).publications == 1
    assert published(writer) == before
    assert rederive(writer.connection, "instance-actions", InstanceSelection()).failures == 1
    assert [(row[0], row[2]) for row in published(writer)[len(before) :]] == [("failure", 2)]
    assert writer.rows("select blame from failures") == [("USER",)]
    counted = dict(writer.rows("select metric || labels::text, sum(value) from counters group by 1"))
    assert counted["failures{stop,USER}"] == 1
    assert sum(value for name, value in counted.items() if name.startswith("failures_withdrawn")) == 1


def test_rederive_after_a_change_of_normalisation_moves_failures_to_their_problem(writer, monkeypatch):
    def failing(number, message):
        return event(request_id=f"r{number}", phase="ERROR", at=number, failure=failure(message=message))

    with monkeypatch.context() as before:
        before.setattr(fingerprint, "normalise_message", str.upper)
        writer.write([failing(1, "vdb is busy"), failing(2, "vdc is busy"), failing(3, "no memory")])
        assert len(set(writer.rows("select fingerprint from failures"))) == 3
    writer.write([failing(4, "vdd is busy")])
    assert len(set(writer.rows("select fingerprint from failures"))) == 4
    count = len(published(writer))
    assert rederive(writer.connection, "instance-actions", InstanceSelection()).publications == 3
    assert [(row[0], row[3]) for row in published(writer)[count:]] == [("failure", "CURRENT")] * 3
    problems = dict(writer.rows("select request_id, fingerprint from failures"))
    assert problems["r1"] == problems["r2"] == problems["r4"] != problems["r3"]
    writer.connection.execute("truncate events")
    assert rederive(writer.connection, "instance-actions", InstanceSelection()).publications == 0
    assert dict(writer.rows("select request_id, fingerprint from failures")) == problems


def test_revisions_continue_after_a_rebuild(writer, store_url):
    events = [
        event(),
        event(signal="event_finish", phase="ERROR", step="compute_stop_instance", at=1, failure=failure()),
    ]
    writer.write(events)
    before = published(writer)
    for table in ("events", "fact_sets", "requests", "failures", "sightings"):
        writer.connection.execute(f"truncate {table}")
    writer.write(events)
    assert published(writer) == before
    writer.write([event(signal="event_finish", phase="END", step="compute_stop_instance", at=2)])
    revisions = [row[2] for row in published(writer) if row[0] == "outcome"]
    assert revisions == list(range(1, len(revisions) + 1))
