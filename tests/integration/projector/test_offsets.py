"""The stored offsets: shown, moved on request while projectors run, never skipped without a request."""

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
from tests.support.projection import ProjectorTestbed, eventually, stream

pytestmark = pytest.mark.timeout(600)


def run_offsets(testbed: ProjectorTestbed, *words: str, status: int = 0) -> str:
    done = stumble("offsets", *words, **testbed.environment())
    assert done.returncode == status, done.stderr + done.stdout
    return done.stdout or done.stderr


def shown_partitions(testbed: ProjectorTestbed) -> dict[int, dict]:
    return {one["partition"]: one for one in json.loads(run_offsets(testbed, "show", "--format", "json"))}


def events_of(**settings):
    return [item.event for item in stream(**settings)]


def test_offsets_moved_back_while_projectors_run_count_nothing_twice(testbed):
    events = events_of(events=3000)
    assert {one["state"] for one in shown_partitions(testbed).values()} == {"NEVER_READ"}
    testbed.start()
    testbed.start()
    producing = threading.Thread(target=testbed.produce, args=(events,), kwargs={"every": 0.1})
    producing.start()
    for _ in range(3):
        eventually(
            lambda: "" if any(one["stored"] for one in shown_partitions(testbed).values()) else "nothing is stored yet"
        )
        assert "continues at 0" in run_offsets(testbed, "set", "--all", "--to", "oldest")
    producing.join()
    eventually(testbed.lag)
    assert {(one["state"], one["behind"]) for one in shown_partitions(testbed).values()} == {("READING", 0)}

    dry = run_offsets(testbed, "set", "--partition", "1", "--to", "oldest", "--dry-run")
    assert "records are read again; would continue at 0" in dry
    assert shown_partitions(testbed)[1]["behind"] == 0, "a dry run moves nothing"
    run_offsets(testbed, "set", "--partition", "1", "--to", "1h")
    testbed.wait_until_stored(events)


def test_skipping_records_needs_the_option_skip(testbed):
    events = [event(request_id=f"req-{number}") for number in range(20)]
    testbed.produce(events)
    (partition,) = (number for number, one in shown_partitions(testbed).items() if one["high"])
    refused = run_offsets(testbed, "set", "--partition", str(partition), "--to", "15", status=1)
    assert "skips 15 records" in refused
    assert "needs --skip" in run_offsets(testbed, "set", "--partition", str(partition), "--to", "15", "--dry-run")
    assert "from offset 0 to 20, not from 21" in run_offsets(
        testbed, "set", "--partition", str(partition), "--to", "21", status=1
    )
    assert "continues at 15" in run_offsets(testbed, "set", "--partition", str(partition), "--to", "15", "--skip")
    testbed.start()
    testbed.wait_until_stored(events[15:])


def test_offset_beyond_the_end_blocks_the_partition_also_when_the_topic_grows(testbed):
    events = [event(request_id=f"req-{number}") for number in range(10)]
    testbed.produce(events[:4])
    testbed.read_once()
    (partition,) = (number for number, one in shown_partitions(testbed).items() if one["high"])
    with connect(testbed.url) as session:  # as if the topic had been restored from a copy without its last records
        session.execute("update offsets set next_offset = 7 where kafka_partition = %s", (partition,))
    restarted = testbed.start()
    eventually(lambda: "" if "ended before the next offset, 7" in testbed.log_of(restarted) else "not said")
    assert shown_partitions(testbed)[partition]["state"] == "OFFSET_BEYOND_END"
    testbed.produce(events[4:])  # now offset 7 exists, but it isn't the record that was expected
    with connect(testbed.url) as session:
        statement = "select next_offset from offsets where kafka_partition = %s"
        time.sleep(7)  # longer than the retry time
        assert session.execute(statement, (partition,)).fetchone() == (7,), "it went on"
    assert "continues at 0" in run_offsets(testbed, "set", "--partition", str(partition), "--to", "oldest")
    testbed.wait_until_stored(events)
    assert restarted.poll() is None


def test_lost_records_are_reported_with_offsets_and_times(testbed):
    events = [event(request_id=f"req-{number}") for number in range(10)]
    testbed.produce(events[:4])
    testbed.read_once()
    testbed.produce(events[4:])
    (partition,) = (number for number, one in shown_partitions(testbed).items() if one["high"])
    deleted_up_to = TopicPartition(testbed.topic, partition, 7)
    admin = AdminClient({"bootstrap.servers": testbed.kafka})
    admin.delete_records([deleted_up_to])[deleted_up_to].result(30)
    one = shown_partitions(testbed)[partition]
    assert (one["state"], one["lost_from"], one["lost_to"]) == ("OFFSET_EXPIRED", 4, 6)
    assert one["last_record_at"] < one["oldest_at"]
    dry = run_offsets(testbed, "resume", "--dry-run")
    assert f"partition {partition}: the broker has deleted the next offset, 4; lost: offsets 4 to 6, " in dry
    assert "at most 3 records, written after" in dry
    assert "would continue at 7" in dry
    assert shown_partitions(testbed)[partition]["stored"] == 4
    assert "continues at 7" in run_offsets(testbed, "resume", "--partition", str(partition))
    assert "nothing to do" in run_offsets(testbed, "resume")
    testbed.start()
    testbed.wait_until_stored([*events[:4], *events[7:]])


def test_partitions_added_while_running_are_read(testbed):
    events = events_of(events=1500, instances=80)
    running = [testbed.start(), testbed.start()]
    testbed.produce(events[:700])
    eventually(testbed.lag)
    admin = AdminClient({"bootstrap.servers": testbed.kafka})
    admin.create_partitions([NewPartitions(testbed.topic, 7)])[testbed.topic].result(30)
    testbed.partitions = 7
    testbed.flush()
    testbed.forget_producer()  # a client that knows the new partitions sends some instances to other partitions
    testbed.produce(events[700:])
    testbed.wait_until_stored(events, 120)
    assert all(one["stored"] for one in shown_partitions(testbed).values()), "each of them holds something"
    assert [process.poll() for process in running] == [None, None]
