"""Projectors as processes: killed, suspended, duplicated, cut off; then the store equals what is derived."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import defaultdict

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from stumble.deadletters.producer import PREFIX
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from stumble.testing.events import event, failure, framed
from stumble.wire.codec import Decoder
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME, EVENT
from tests.support.command import stumble
from tests.support.messages import headers_of, value_of
from tests.support.projection import ProjectorTestbed, differences, eventually, reject_bad_host, stream

pytestmark = pytest.mark.timeout(600)


def events_of(**settings):
    return [item.event for item in stream(**settings)]


def test_kill_9_at_random_times_loses_and_duplicates_nothing(testbed):
    events = events_of(events=6000)
    producing = threading.Thread(target=testbed.produce, args=(events,), kwargs={"every": 0.15})
    producing.start()
    testbed.kill_at_random(random.Random(11), 10, count=2)
    producing.join()
    testbed.wait_until_stored(events)


def test_two_projectors_on_the_same_partitions_count_nothing_twice(testbed):
    events = events_of(events=4000)
    first = testbed.start(STUMBLE_PROJECTOR_GROUP=f"{testbed.prefix}one")
    second = testbed.start(STUMBLE_PROJECTOR_GROUP=f"{testbed.prefix}two")
    testbed.produce(events, every=0.02)
    testbed.wait_until_stored(events)
    assert first.poll() is None
    assert second.poll() is None


def test_projector_resumed_after_its_session_expired_changes_nothing(testbed):
    events = events_of(events=4000)
    suspended = testbed.start()
    testbed.produce(events[:1000])
    eventually(testbed.lag)
    testbed.produce(events[1000:2500])
    os.kill(suspended.pid, signal.SIGSTOP)
    testbed.start()
    testbed.produce(events[2500:])
    eventually(testbed.lag)
    os.kill(suspended.pid, signal.SIGCONT)
    testbed.produce(events[-50:])
    testbed.wait_until_stored(events)
    assert suspended.poll() is None


def test_sigterm_ends_the_projector_between_batches_with_status_0(testbed):
    events = events_of(events=3000)
    first = testbed.start()
    producing = threading.Thread(target=testbed.produce, args=(events,), kwargs={"every": 0.05})
    producing.start()
    time.sleep(4)
    first.terminate()
    assert first.wait(60) == 0
    assert "Traceback" not in testbed.log_of(first)
    testbed.start()
    producing.join()
    testbed.wait_until_stored(events)


def test_reading_pauses_and_continues_over_a_database_restart(kafka, own_postgres):
    url = own_postgres.create_database("stumble")
    migrate(url)
    testbed = ProjectorTestbed(kafka, url)
    try:
        events = events_of(events=3000)
        process = testbed.start()
        testbed.produce(events[:1000])
        eventually(testbed.lag)
        own_postgres.stop()
        testbed.produce(events[1000:])
        eventually(lambda: "" if "Reading is paused, nothing is lost" in testbed.log_of(process) else "not said")
        own_postgres.start()
        testbed.wait_until_stored(events)
        assert testbed.log_of(process).count("Reading is paused") == 1
        assert "reading continues" in testbed.log_of(process)
    finally:
        testbed.stop()


def test_reading_continues_after_a_broker_restart(own_kafka, store_url):
    testbed = ProjectorTestbed(own_kafka.bootstrap_servers, store_url)
    try:
        events = events_of(events=2000)
        process = testbed.start()
        testbed.produce(events[:1000])
        eventually(testbed.lag)
        own_kafka.stop()
        time.sleep(2)
        own_kafka.start()
        testbed.produce(events[1000:])
        testbed.wait_until_stored(events, 120)
        assert process.poll() is None
        outages = [line for line in testbed.log_of(process).splitlines() if "does not answer" in line]
        assert len(outages) == 1, outages
        eventually(lambda: "" if "Kafka answers again" in testbed.log_of(process) else "not logged")
    finally:
        testbed.stop()


def dead_letters(testbed, count):
    consumer = Consumer({"bootstrap.servers": testbed.kafka, "group.id": "dead", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(testbed.settings.topics.dlq, 0, 0)])
    letters: list[Message] = []
    deadline = time.monotonic() + 90
    while len(letters) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            letters.append(message)
    consumer.close()
    return letters


def test_bad_records_go_to_the_dead_letter_topic_and_reading_continues(testbed):
    good = [event(request_id=f"req-{n}", at=n) for n in range(20)]
    poison = [
        b"no avro at all",
        b"\xc3\x01" + b"\x00" * 8 + b"body",
        framed(good[0])[:-5],
        framed(event(event_id="not-a-uuid")),
        framed(event(instance_uuid="not-a-uuid")),
        None,
    ]
    testbed.start()
    key = good[0]["instance_uuid"].encode()
    for number, one in enumerate(good):
        testbed.send(framed(one), key)
        if number < len(poison):
            testbed.send(poison[number], key, headers=[("ce_id", b"mine")])
    testbed.flush()
    letters = dead_letters(testbed, len(poison))
    assert [message.value() for message in letters] == poison
    assert {message.key() for message in letters} == {key}
    headers = [dict(message.headers()) for message in letters]
    assert all(one["ce_id"] == b"mine" for one in headers)
    assert [one[PREFIX + "stage"] for one in headers] == [b"decode"] * 3 + [b"model"] * 2 + [b"decode"]
    assert headers[1][PREFIX + "schema"] == b"fingerprint:0000000000000000"
    assert headers[3][PREFIX + "schema"] == b"fingerprint:" + EVENT.fingerprint.hex().encode()
    assert {one[PREFIX + "topic"] for one in headers} == {testbed.topic.encode()}
    assert headers[0][PREFIX + "replays"] == b"0"
    testbed.wait_until_stored(good)


def test_single_record_that_the_store_rejects_becomes_a_dead_letter(testbed):
    with connect(testbed.url) as session:
        reject_bad_host(session)
    events = events_of(events=800)
    rejected = event(host="bad-host", request_id="req-rejected")
    testbed.produce([*events[:400], rejected, *events[400:]])
    testbed.start()
    (letter,) = dead_letters(testbed, 1)
    headers = dict(letter.headers())
    assert letter.value() == framed(rejected)
    assert headers[PREFIX + "stage"] == b"store"
    assert b"bad-host" in headers[PREFIX + "exception.message"]
    testbed.wait_until_stored(events)


def largest_record(testbed, size):
    """Set the largest size in bytes of a record that the dead-letter topic accepts."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, testbed.settings.topics.dlq, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": testbed.kafka})
    admin.incremental_alter_configs([resource])[resource].result(30)


def test_unwritable_dead_letter_topic_blocks_only_the_partition_of_the_bad_record(testbed):
    largest_record(testbed, 1)  # so it accepts none
    events = events_of(events=1000)
    key = events[0]["instance_uuid"].encode()
    testbed.send(b"poison", key)
    testbed.flush()
    testbed.produce(events)
    process = testbed.start()
    eventually(lambda: "" if "stopped at offset" in testbed.log_of(process) else "not said")
    with connect(testbed.url) as session:
        count = "select count(*) from offsets where next_offset > 0"
        eventually(lambda: "" if session.execute(count).fetchone() == (testbed.partitions - 1,) else "others wait")
    assert process.poll() is None
    # A blocked partition is reassigned and returns: the client must not remember that it was paused.
    other = testbed.start()
    eventually(lambda: "" if "Reading partitions" in testbed.log_of(other) else "the other reads nothing")
    largest_record(testbed, 1 << 20)
    time.sleep(2)
    other.terminate()
    assert other.wait(60) == 0
    testbed.wait_until_stored(events)
    assert len(dead_letters(testbed, 1)) == 1


def test_expired_offset_blocks_with_one_message_until_the_loss_is_accepted(testbed):
    events = events_of(events=1200)
    testbed.produce(events[:600])
    testbed.read_once()
    key = events[0]["instance_uuid"].encode()
    for number in range(5):
        testbed.send(framed(event(request_id=f"lost-{number}")), key)
    testbed.flush()
    partition = int(testbed.lag().split()[1].rstrip(":"))
    with connect(testbed.url) as session:
        row = session.execute("select next_offset from offsets where kafka_partition = %s", (partition,)).fetchone()
    assert row is not None
    (stored,) = row
    deleted_up_to = TopicPartition(testbed.topic, partition, stored + 3)
    admin = AdminClient({"bootstrap.servers": testbed.kafka})
    admin.delete_records([deleted_up_to])[deleted_up_to].result(30)
    second = testbed.start()
    eventually(lambda: "" if "offsets resume" in testbed.log_of(second) else "not said")
    time.sleep(6)
    assert testbed.log_of(second).count("offsets resume") == 1
    with connect(testbed.url) as session:
        statement = "select next_offset from offsets where kafka_partition = %s"
        assert session.execute(statement, (partition,)).fetchone() == (stored,)
    resuming = testbed.start("offsets", "resume", "--partition", str(partition))
    assert resuming.wait(60) == 0, testbed.log_of(resuming)
    testbed.produce(events[600:])
    eventually(testbed.lag)
    remaining = [event(request_id=f"lost-{number}")["request_id"] for number in (3, 4)]
    with connect(testbed.url) as session:
        rows = session.execute("select request_id from requests where request_id like 'lost-%' order by 1")
        assert [row[0] for row in rows.fetchall()] == remaining


def test_recreated_topic_is_detected_and_read_after_offsets_resume(testbed):
    events = events_of(events=400)
    process = testbed.start()
    testbed.produce(events)
    eventually(testbed.lag)
    admin = AdminClient({"bootstrap.servers": testbed.kafka})
    admin.delete_topics([testbed.topic])[testbed.topic].result(30)
    # The broker learns of the deletion a little later than the controller.
    eventually(lambda: testbed.topic in admin.list_topics(timeout=60).topics and "the topic is still there")
    time.sleep(1)
    testbed.make_topics()
    eventually(lambda: "" if "created again" in testbed.log_of(process) else "not said")
    resuming = testbed.start("offsets", "resume")
    assert resuming.wait(60) == 0, testbed.log_of(resuming)
    more = [event(request_id="req-new")]
    testbed.produce([*events[200:], *more])
    testbed.wait_until_stored([*events, *more])
    assert "created again" not in stumble("offsets", "show", **testbed.environment()).stdout
    with connect(testbed.url) as session:  # as if the old topic had one more partition
        session.execute("insert into offsets select topic, 99, 'old', 7 from offsets where kafka_partition = 0")
    # Records that only the old topic held stay as they are: their offsets mean other records now.
    for words in (["audit"], ["audit", "--repair"]):
        result = stumble(*words, **testbed.environment())
        assert result.returncode == 0, result.stdout
        assert "from before the topic was truncated or recreated" in result.stdout
    testbed.wait_until_stored([*events, *more])
    refused = stumble("store", "rebuild", "--from-nothing", **testbed.environment())
    assert "no longer holds its first records" in refused.stderr


def test_unreachable_database_is_logged_once(testbed):
    process = testbed.start(STUMBLE_DATABASE_URL="postgresql://127.0.0.1:1/none")
    eventually(lambda: "" if "127.0.0.1:1/none does not answer" in testbed.log_of(process) else "not said")
    time.sleep(3)
    assert testbed.log_of(process).count("does not answer") == 1
    process.terminate()
    assert process.wait(60) == 0


def test_alerter_resumes_after_kill_9_without_loss(testbed):
    events = events_of(events=3000)
    testbed.start()
    testbed.produce(events, every=0.02)
    for _ in range(3):
        alerter = testbed.start("alerter")
        time.sleep(random.Random(3).uniform(2, 4))
        alerter.kill()
        alerter.wait()
    testbed.wait_until_stored(events)
    testbed.start("alerter")
    with connect(testbed.url) as session:
        rows = session.execute("select kind, subject_id::text, revision from publications order by revision").fetchall()
    eventually(lambda: set(rows) - set(delivered(testbed)))
    published: dict[str, list[int]] = defaultdict(list)
    order: dict[str, list[int]] = defaultdict(list)
    for _, subject, revision in rows:
        published[subject].append(revision)
    for _, subject, revision in delivered(testbed):
        if revision not in order[subject]:  # a revision may be sent twice
            order[subject].append(revision)
    assert order == published
    assert differences(testbed.url, events) == []


def delivered(testbed):
    """Return (kind, subject, revision) of all records of the two topics, in order within each partition."""
    published = []
    topics = testbed.settings.topics
    for kind, topic, schema, name in (
        ("failure", topics.failures, ACTION_FAILED, "failure_id"),
        ("outcome", topics.outcomes, ACTION_OUTCOME, "request_key"),
    ):
        consumer = Consumer({"bootstrap.servers": testbed.kafka, "group.id": "read", "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(testbed.partitions)])
        decoder, ended = Decoder(schema), 0
        while ended < testbed.partitions:
            message = consumer.poll(60)
            assert message is not None
            if message.error() is not None:
                ended += 1
                continue
            record = decoder.decode(value_of(message), headers_of(message))
            published.append((kind, record[name], record["revision"]))
        consumer.close()
    return published


def test_failure_and_outcome_are_published(testbed):
    testbed.start()
    testbed.start("alerter")
    testbed.produce(
        [
            event(request_id="req-f"),
            event(
                request_id="req-f",
                signal="event_finish",
                phase="ERROR",
                step="compute_stop_instance",
                at=1,
                failure=failure(),
            ),
        ]
    )
    eventually(lambda: "" if len(delivered(testbed)) >= 2 else "nothing published")


def test_new_group_protocol_survives_a_killed_projector(testbed):
    events = events_of(events=3000)
    options = {"STUMBLE_KAFKA__CONSUMER_OPTIONS": '{"group.protocol": "consumer"}'}
    first = testbed.start(**options)
    testbed.start(**options)
    producing = threading.Thread(target=testbed.produce, args=(events,), kwargs={"every": 0.2})
    producing.start()
    time.sleep(4)
    first.kill()
    first.wait()
    producing.join()
    testbed.wait_until_stored(events, 120)


def test_rederive_beside_a_running_projector_changes_no_correct_record(testbed):
    events = events_of(events=3000)
    testbed.start()
    producing = threading.Thread(target=testbed.produce, args=(events,), kwargs={"every": 0.1})
    producing.start()
    for _ in range(2):
        rederiving = testbed.start("rederive", "--from-events")
        assert rederiving.wait(60) == 0, testbed.log_of(rederiving)
    producing.join()
    testbed.wait_until_stored(events)
    with connect(testbed.url) as session:
        before = session.execute("select max(id), count(*) from publications").fetchone()
        last = testbed.start("rederive")
        assert last.wait(60) == 0
        assert session.execute("select max(id), count(*) from publications").fetchone() == before
