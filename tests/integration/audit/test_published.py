"""The audit compares what was published with the topics, and repairs what a subscriber would keep wrongly."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stumble.store.migrate import migrate
from stumble.wire import codec
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME
from tests.integration.audit.conftest import Store
from tests.support.dead_letters import records
from tests.support.projection import ProjectorTestbed, eventually, stream

pytestmark = pytest.mark.timeout(600)

_SUBJECTS = "select subject_id from publications where kind = 'failure' group by 1 order by 1"
#: What a subscriber must keep: the last revision of each subject.
_LAST = "select subject_id::text, revision, status from revisions"


@pytest.fixture
def published(kafka: str, new_database: Callable[..., str]) -> Iterator[Store]:
    """A store whose publications are on the two topics; projector and alerter have ended."""
    testbed = ProjectorTestbed(kafka, new_database())
    migrate(testbed.url)
    try:
        events = [item.event for item in stream(400, seed=5)]
        testbed.produce(events)
        projector = testbed.start()
        testbed.wait_until_stored(events)
        projector.terminate()
        projector.wait(60)
        store = Store(testbed, testbed.url)
        publish(store)
        testbed.forget_producer()  # it would log errors when the broker stops at the end of the run
        yield store
    finally:
        testbed.stop()


def publish(store: Store) -> None:
    """Run an alerter until it has published everything."""
    alerter = store.testbed.start("alerter")
    waiting = "select id from publications order by 1 desc limit 1"
    marked = "select id from cursors where name = 'alerter'"
    eventually(lambda: "" if store.rows(waiting) == store.rows(marked) else "publications wait")
    alerter.terminate()
    alerter.wait(60)


def kept(store: Store) -> dict[str, tuple[int, str, dict[str, Any]]]:
    """Return what a subscriber keeps of each subject: revision, status, record; the first of equal revisions."""
    topics = store.testbed.settings.topics
    result: dict[str, tuple[int, str, dict[str, Any]]] = {}
    for topic, schema, name in (
        (topics.failures, ACTION_FAILED, "failure_id"),
        (topics.outcomes, ACTION_OUTCOME, "request_key"),
    ):
        decoder = codec.Decoder(schema)
        for message in records(store.testbed, topic):
            record = decoder.decode(message.value())
            if record["revision"] > result.get(record[name], (0,))[0]:
                result[record[name]] = record["revision"], record["status"], record
    return result


def subject(store: Store, number: int) -> str:
    return str(store.rows(f"{_SUBJECTS} offset {number} limit 1")[0][0])


def found(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["kind"], one["what"], one["id"]) for one in report["found"]}


def write_failure(store: Store, **fields: Any) -> None:
    """Write a record to the topic of failures, as anybody with the right to write there can."""
    record = {"request_key": str(uuid.uuid4()), "instance_uuid": str(uuid.uuid4()), "status": "CURRENT", **fields}
    value = codec.frame_single_object(ACTION_FAILED, codec.encode_record(ACTION_FAILED, record))
    store.testbed.send_to(store.testbed.settings.topics.failures, value, b"key")
    store.testbed.flush()
    store.testbed.forget_producer()


def test_publications_that_are_on_the_topics_are_no_differences(published: Store) -> None:
    ((publications,),) = published.rows("select count(*) from publications")
    status, report = published.audit()
    assert (status, report["differences"], report["left_out"]) == (0, {}, {})
    assert report["published"] == publications > 0
    ended = published.run("audit")
    assert f"{publications:,} published records compared with the store" in ended.stdout


def test_differences_between_topic_and_store_are_reported_and_published_again(published: Store) -> None:
    changed, lower, higher = (subject(published, number) for number in range(3))
    published.corrupt(
        'update publications set payload = (payload::jsonb || \'{"step": "another"}\')::json where subject_id = %s',
        changed,
    )
    for one, by in ((lower, 5), (higher, -5)):
        for table in ("publications", "revisions"):
            published.corrupt(f"update {table} set revision = revision + %s where subject_id = %s", by, one)
    unknown = str(uuid.uuid4())
    ((now_us,),) = published.rows("select (extract(epoch from now()) * 1000000)::bigint")
    write_failure(published, failure_id=unknown, revision=7, published_at=now_us)
    status, report = published.audit()
    what = "published record"
    expected = {("different", what, changed), ("missing", what, lower), ("extra", what, higher)}
    assert (status, found(report)) == (1, {*expected, ("extra", what, unknown)})
    ended = published.run("audit", "--repair")
    assert ended.returncode == 0, ended.stdout
    assert "4 records published again" in ended.stdout
    assert published.audit()[1]["differences"] == {}  # what waits for the alerter is no difference
    publish(published)
    assert published.audit()[1]["differences"] == {}
    subscriber = kept(published)
    assert {(one, revision, status) for one, (revision, status, _) in subscriber.items()} == set(published.rows(_LAST))
    assert subscriber[changed][2]["step"] == "another"
    assert subscriber[unknown][1] == "RETRACTED"


def test_topic_with_an_unreadable_record_is_not_judged_for_what_it_lacks(published: Store) -> None:
    lower = subject(published, 0)
    for table in ("publications", "revisions"):
        published.corrupt(f"update {table} set revision = revision + 5 where subject_id = %s", lower)
    published.testbed.send_to(published.testbed.settings.topics.failures, b"no record", b"key")
    published.testbed.flush()
    published.testbed.forget_producer()
    status, report = published.audit()
    assert (status, report["differences"]) == (0, {})
    assert report["left_out"]["records that cannot be read in a topic of publications"] == 1
