"""Projectors as processes: killed, stopped, doubled, cut off; afterwards the store is what the events come to."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from stumble.deadletters.producer import PREFIX
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from stumble.testing.events import event, failure, framed
from stumble.wire.codec import Decoder
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME, EVENT
from tests.support.command import stumble
from tests.support.projection import World, differences, eventually, refuse_cursed, stream

pytestmark = pytest.mark.timeout(600)


def events_of(**settings):
    return [item.event for item in stream(**settings)]


def test_kill_9_at_random_moments_loses_and_doubles_nothing(world):
    events = events_of(events=6000)
    feeding = threading.Thread(target=world.produce, args=(events,), kwargs={"every": 0.15})
    feeding.start()
    world.kill_some(random.Random(11), 10, count=2)
    feeding.join()
    world.settle(events)


def test_two_projectors_on_the_same_partitions(world):
    events = events_of(events=4000)
    first = world.start(STUMBLE_PROJECTOR_GROUP=f"{world.prefix}one")
    second = world.start(STUMBLE_PROJECTOR_GROUP=f"{world.prefix}two")
    world.produce(events, every=0.02)
    world.settle(events)
    assert first.poll() is None
    assert second.poll() is None


def test_a_projector_that_wakes_up_after_its_session_is_over(world):
    events = events_of(events=4000)
    sleeper = world.start()
    world.produce(events[:1000])
    eventually(world.behind)
    world.produce(events[1000:2500])
    os.kill(sleeper.pid, signal.SIGSTOP)
    world.start()
    world.produce(events[2500:])
    eventually(world.behind)
    os.kill(sleeper.pid, signal.SIGCONT)
    world.produce(events[-50:])
    world.settle(events)
    assert sleeper.poll() is None


def test_sigterm_ends_between_batches_with_status_0(world):
    events = events_of(events=3000)
    first = world.start()
    feeding = threading.Thread(target=world.produce, args=(events,), kwargs={"every": 0.05})
    feeding.start()
    time.sleep(4)
    first.terminate()
    assert first.wait(60) == 0
    assert "Traceback" not in world.said(first)
    world.start()
    feeding.join()
    world.settle(events)


def test_the_database_restarts_in_the_middle(kafka, own_postgres):
    url = own_postgres.create_database("stumble")
    migrate(url)
    world = World(kafka, url)
    try:
        events = events_of(events=3000)
        process = world.start()
        world.produce(events[:1000])
        eventually(world.behind)
        own_postgres.stop()
        world.produce(events[1000:])
        eventually(lambda: "" if "Reading is paused, nothing is lost" in world.said(process) else "not said")
        own_postgres.start()
        world.settle(events)
        assert world.said(process).count("Reading is paused") == 1
        assert "reading continues" in world.said(process)
    finally:
        world.stop()


def test_the_broker_restarts_in_the_middle(own_kafka, store_url):
    world = World(own_kafka.bootstrap_servers, store_url)
    try:
        events = events_of(events=2000)
        process = world.start()
        world.produce(events[:1000])
        eventually(world.behind)
        own_kafka.stop()
        time.sleep(2)
        own_kafka.start()
        world.produce(events[1000:])
        world.settle(events, 120)
        assert process.poll() is None
        assert world.said(process).count("does not answer") == 1
        assert "Kafka answers again" in world.said(process)
    finally:
        world.stop()


def dead_letters(world, count):
    consumer = Consumer({"bootstrap.servers": world.kafka, "group.id": "dead", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(world.settings.topics.dlq, 0, 0)])
    found = []
    deadline = time.monotonic() + 90
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            found.append(message)
    consumer.close()
    return found


def test_poison_goes_to_the_dead_letter_topic_and_nothing_stops(world):
    good = [event(request_id=f"req-{n}", at=n) for n in range(20)]
    poison = [
        b"no avro at all",
        b"\xc3\x01" + b"\x00" * 8 + b"body",
        framed(good[0])[:-5],
        framed(event(event_id="not-a-uuid")),
        framed(event(occurred_at=-1)),
        None,
    ]
    world.start()
    key = good[0]["instance_uuid"].encode()
    for number, one in enumerate(good):
        world.send(framed(one), key)
        if number < len(poison):
            world.send(poison[number], key, headers=[("ce_id", b"mine")])
    world.flush()
    found = dead_letters(world, len(poison))
    assert [message.value() for message in found] == poison
    assert {message.key() for message in found} == {key}
    headers = [dict(message.headers()) for message in found]
    assert all(one["ce_id"] == b"mine" for one in headers)
    assert [one[PREFIX + "stage"] for one in headers] == [b"decode"] * 3 + [b"model"] * 2 + [b"decode"]
    assert headers[1][PREFIX + "schema"] == b"fingerprint:0000000000000000"
    assert headers[3][PREFIX + "schema"] == b"fingerprint:" + EVENT.fingerprint.hex().encode()
    assert {one[PREFIX + "topic"] for one in headers} == {world.topic.encode()}
    assert headers[0][PREFIX + "replays"] == b"0"
    world.settle(good)


def test_the_one_record_that_the_store_refuses_is_found(world):
    with connect(world.url) as session:
        refuse_cursed(session)
    events = events_of(events=800)
    cursed = event(host="cursed", request_id="req-cursed")
    world.produce([*events[:400], cursed, *events[400:]])
    world.start()
    (found,) = dead_letters(world, 1)
    headers = dict(found.headers())
    assert found.value() == framed(cursed)
    assert headers[PREFIX + "stage"] == b"store"
    assert b"cursed" in headers[PREFIX + "exception.message"]
    world.settle(events)


def largest_record(world, size):
    """Let the dead letter topic take records of at most so many bytes."""
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, world.settings.topics.dlq, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": world.kafka})
    admin.incremental_alter_configs([resource])[resource].result(30)


def test_a_dead_letter_topic_that_cannot_be_written_blocks_only_its_partition(world):
    largest_record(world, 1)  # so it takes none
    events = events_of(events=1000)
    key = events[0]["instance_uuid"].encode()
    world.send(b"poison", key)
    world.flush()
    world.produce(events)
    process = world.start()
    eventually(lambda: "" if "stopped at offset" in world.said(process) else "not said")
    with connect(world.url) as session:
        count = "select count(*) from offsets where next_offset > 0"
        eventually(lambda: "" if session.execute(count).fetchone() == (world.partitions - 1,) else "others wait")
    assert process.poll() is None
    # A blocked partition goes elsewhere and comes back: the client must not remember that it was paused.
    other = world.start()
    eventually(lambda: "" if "Reading partitions" in world.said(other) else "the other reads nothing")
    largest_record(world, 1 << 20)
    time.sleep(2)
    other.terminate()
    assert other.wait(60) == 0
    world.settle(events)
    assert len(dead_letters(world, 1)) == 1


def test_an_expired_offset_stops_with_one_line_until_the_loss_is_accepted(world):
    events = events_of(events=1200)
    world.produce(events[:600])
    world.read_once()
    key = events[0]["instance_uuid"].encode()
    for number in range(5):
        world.send(framed(event(request_id=f"lost-{number}")), key)
    world.flush()
    behind = int(world.behind().split()[1].rstrip(":"))
    with connect(world.url) as session:
        (stored,) = session.execute("select next_offset from offsets where kafka_partition = %s", (behind,)).fetchone()
    gone = TopicPartition(world.topic, behind, stored + 3)
    admin = AdminClient({"bootstrap.servers": world.kafka})
    admin.delete_records([gone])[gone].result(30)
    second = world.start()
    eventually(lambda: "" if "offsets resume" in world.said(second) else "not said")
    time.sleep(6)
    assert world.said(second).count("offsets resume") == 1
    with connect(world.url) as session:
        where = "select next_offset from offsets where kafka_partition = %s"
        assert session.execute(where, (behind,)).fetchone() == (stored,)
    accepting = world.start("offsets", "resume", "--partition", str(behind))
    assert accepting.wait(60) == 0, world.said(accepting)
    world.produce(events[600:])
    eventually(world.behind)
    kept = [event(request_id=f"lost-{number}")["request_id"] for number in (3, 4)]
    with connect(world.url) as session:
        rows = session.execute("select request_id from requests where request_id like 'lost-%' order by 1")
        assert [row[0] for row in rows.fetchall()] == kept


def test_a_topic_made_anew_is_noticed(world):
    events = events_of(events=400)
    process = world.start()
    world.produce(events)
    eventually(world.behind)
    admin = AdminClient({"bootstrap.servers": world.kafka})
    admin.delete_topics([world.topic])[world.topic].result(30)
    # The controller has forgotten it; the broker hears of it a little later.
    eventually(lambda: world.topic in admin.list_topics(timeout=60).topics and "the topic is still there")
    time.sleep(1)
    world.make_topics()
    eventually(lambda: "" if "created again" in world.said(process) else "not said")
    accepting = world.start("offsets", "resume")
    assert accepting.wait(60) == 0, world.said(accepting)
    more = [event(request_id="req-new")]
    world.produce([*events[200:], *more])
    world.settle([*events, *more])
    assert "created again" not in stumble("offsets", "show", **world.environment()).stdout
    with connect(world.url) as session:  # it had one partition more
        session.execute("insert into offsets select topic, 99, 'old', 7 from offsets where kafka_partition = 0")
    # What only the old one held stays as it is: its offsets mean something else by now.
    for words in (["audit"], ["audit", "--repair"]):
        audited = stumble(*words, **world.environment())
        assert audited.returncode == 0, audited.stdout
        assert "from before the topic was cut back or made anew" in audited.stdout
    world.settle([*events, *more])
    refused = stumble("store", "rebuild", "--from-nothing", **world.environment())
    assert "no longer holds its beginning" in refused.stderr


def test_no_store_no_broker_no_topic_is_one_line_each(world):
    process = world.start(STUMBLE_DATABASE_URL="postgresql://127.0.0.1:1/none")
    eventually(lambda: "" if "127.0.0.1:1/none does not answer" in world.said(process) else "not said")
    time.sleep(3)
    assert world.said(process).count("does not answer") == 1
    process.terminate()
    assert process.wait(60) == 0


def test_the_alerter_resumes_after_kill_9_without_loss(world):
    events = events_of(events=3000)
    world.start()
    world.produce(events, every=0.02)
    for _ in range(3):
        alerter = world.start("alerter")
        time.sleep(random.Random(3).uniform(2, 4))
        alerter.kill()
        alerter.wait()
    world.settle(events)
    world.start("alerter")
    with connect(world.url) as session:
        rows = session.execute("select kind, subject_id::text, revision from publications").fetchall()
        wanted = {(kind, subject, revision) for kind, subject, revision in rows}
    eventually(lambda: wanted - set(delivered(world)))
    order: dict[str, int] = {}
    for _, subject, revision in delivered(world):
        assert revision <= order.get(subject, 0) + 1
        order[subject] = max(order.get(subject, 0), revision)
    assert differences(world.url, events) == []


def delivered(world):
    """(kind, subject, revision) of everything on the two topics, in order within each partition."""
    found = []
    topics = world.settings.topics
    for kind, topic, schema, name in (
        ("failure", topics.failures, ACTION_FAILED, "failure_id"),
        ("outcome", topics.outcomes, ACTION_OUTCOME, "request_key"),
    ):
        consumer = Consumer({"bootstrap.servers": world.kafka, "group.id": "read", "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(world.partitions)])
        decoder, ended = Decoder(schema), 0
        while ended < world.partitions:
            message = consumer.poll(60)
            assert message is not None
            if message.error() is not None:
                ended += 1
                continue
            record = decoder.decode(message.value(), message.headers())
            found.append((kind, record[name], record["revision"]))
        consumer.close()
    return found


def test_failure_record_is_complete_enough(world):
    world.start()
    world.start("alerter")
    world.produce(
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
    eventually(lambda: "" if len(delivered(world)) >= 2 else "nothing published")


def test_the_brokers_own_group_protocol(world):
    events = events_of(events=3000)
    newer = {"STUMBLE_KAFKA__CONSUMER_OPTIONS": '{"group.protocol": "consumer"}'}
    first = world.start(**newer)
    world.start(**newer)
    feeding = threading.Thread(target=world.produce, args=(events,), kwargs={"every": 0.2})
    feeding.start()
    time.sleep(4)
    first.kill()
    first.wait()
    feeding.join()
    world.settle(events, 120)


def test_rederiving_beside_a_running_projector_changes_nothing_that_is_right(world):
    events = events_of(events=3000)
    world.start()
    feeding = threading.Thread(target=world.produce, args=(events,), kwargs={"every": 0.1})
    feeding.start()
    for _ in range(2):
        again = world.start("rederive", "--from-events")
        assert again.wait(60) == 0, world.said(again)
    feeding.join()
    world.settle(events)
    with connect(world.url) as session:
        before = session.execute("select max(id), count(*) from publications").fetchone()
        last = world.start("rederive")
        assert last.wait(60) == 0
        assert session.execute("select max(id), count(*) from publications").fetchone() == before
