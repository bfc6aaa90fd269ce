"""The store's place in the topic: shown, moved on purpose beside running projectors, never passed over by itself."""

from __future__ import annotations

import json
import threading
import time

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from stumble.store.connect import connect
from stumble.testing.events import event
from tests.support.command import stumble
from tests.support.projection import World, eventually, stream

pytestmark = pytest.mark.timeout(600)


def told(world: World, *words: str, status: int = 0) -> str:
    done = stumble("offsets", *words, **world.environment())
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout or done.stderr


def shown(world: World) -> dict[int, dict]:
    return {one["partition"]: one for one in json.loads(told(world, "show", "--format", "json"))}


def events_of(**settings):
    return [item.event for item in stream(**settings)]


def test_moved_back_beside_running_projectors_nothing_counts_twice(world):
    events = events_of(events=3000)
    assert {one["state"] for one in shown(world).values()} == {"NEVER_READ"}
    world.start()
    world.start()
    feeding = threading.Thread(target=world.produce, args=(events,), kwargs={"every": 0.1})
    feeding.start()
    for _ in range(3):
        eventually(lambda: "" if any(one["stored"] for one in shown(world).values()) else "nothing is stored yet")
        assert "continues at 0" in told(world, "set", "--all", "--to", "oldest")
    feeding.join()
    eventually(world.behind)
    assert {(one["state"], one["behind"]) for one in shown(world).values()} == {("READING", 0)}

    dry = told(world, "set", "--partition", "1", "--to", "oldest", "--dry-run")
    assert "records are read again; would continue at 0" in dry
    assert shown(world)[1]["behind"] == 0, "a dry run moves nothing"
    told(world, "set", "--partition", "1", "--to", "1h")
    world.settle(events)


def test_passing_over_records_has_to_be_meant(world):
    events = [event(request_id=f"req-{number}") for number in range(20)]
    world.produce(events)
    (partition,) = (number for number, one in shown(world).items() if one["high"])
    refused = told(world, "set", "--partition", str(partition), "--to", "15", status=1)
    assert "skips 15 records" in refused
    assert "needs --skip" in told(world, "set", "--partition", str(partition), "--to", "15", "--dry-run")
    assert "from 0 to 20, not from 21" in told(world, "set", "--partition", str(partition), "--to", "21", status=1)
    assert "continues at 15" in told(world, "set", "--partition", str(partition), "--to", "15", "--skip")
    world.start()
    world.settle(events[15:])


def test_an_offset_behind_the_end_stops_the_partition_though_the_topic_grows_past_it(world):
    events = [event(request_id=f"req-{number}") for number in range(10)]
    world.produce(events[:4])
    world.read_once()
    (partition,) = (number for number, one in shown(world).items() if one["high"])
    with connect(world.url) as session:  # as if the topic had been restored from a copy six records short
        session.execute("update offsets set next_offset = 7 where kafka_partition = %s", (partition,))
    second = world.start()
    eventually(lambda: "" if "ends before offset 7" in world.said(second) else "not said")
    assert shown(world)[partition]["state"] == "OFFSET_BEYOND_END"
    world.produce(events[4:])  # now there is an offset 7, and it isn't what was to come next
    with connect(world.url) as session:
        asked = "select next_offset from offsets where kafka_partition = %s"
        time.sleep(7)  # longer than it takes to look again
        assert session.execute(asked, (partition,)).fetchone() == (7,), "it went on"
    assert "continues at 0" in told(world, "set", "--partition", str(partition), "--to", "oldest")
    world.settle(events)
    assert second.poll() is None


def test_what_was_lost_is_said_with_offsets_and_times(world):
    events = [event(request_id=f"req-{number}") for number in range(10)]
    world.produce(events[:4])
    world.read_once()
    world.produce(events[4:])
    (partition,) = (number for number, one in shown(world).items() if one["high"])
    gone = TopicPartition(world.topic, partition, 7)
    admin = AdminClient({"bootstrap.servers": world.kafka})
    admin.delete_records([gone])[gone].result(30)
    one = shown(world)[partition]
    assert (one["state"], one["lost_from"], one["lost_to"]) == ("OFFSET_EXPIRED", 4, 6)
    assert one["last_record_at"] < one["oldest_at"]
    dry = told(world, "resume", "--dry-run")
    assert f"partition {partition}: the broker has deleted offset 4, which is next; lost: offsets 4 to 6, " in dry
    assert "at most 3 records, written after" in dry
    assert "would continue at 7" in dry
    assert shown(world)[partition]["stored"] == 4
    assert "continues at 7" in told(world, "resume", "--partition", str(partition))
    assert "nothing to do" in told(world, "resume")
    world.start()
    world.settle([*events[:4], *events[7:]])


def test_partitions_added_while_running_are_read(world):
    events = events_of(events=1500, instances=80)
    running = [world.start(), world.start()]
    world.produce(events[:700])
    eventually(world.behind)
    admin = AdminClient({"bootstrap.servers": world.kafka})
    admin.create_partitions([NewPartitions(world.topic, 7)])[world.topic].result(30)
    world.partitions = 7
    world.flush()
    world.forget_producer()  # a client that knows the new ones: instances move to other partitions
    world.produce(events[700:])
    world.settle(events, 120)
    assert all(one["stored"] for one in shown(world).values()), "each of them holds something"
    assert [process.poll() for process in running] == [None, None]
