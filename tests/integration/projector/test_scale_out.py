"""More projectors, fewer projectors, and a lost consumer group: the store equals what is derived."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stumble.local.kafka import LocalKafka
from stumble.store.connect import connect
from tests.support.projection import ProjectorTestbed, eventually, stream

pytestmark = pytest.mark.timeout(600)


def partitions_read_by(testbed, process):
    """Return the partitions that a projector has last logged as read."""
    lines = [line for line in testbed.log_of(process).splitlines() if "Reading partitions" in line]
    if not lines:
        return set()
    return {int(word) for word in lines[-1].partition("Reading partitions [")[2].partition("]")[0].split(",") if word}


def unshared_partitions(testbed, *processes):
    """Return an empty text when the processes share all partitions without overlap."""
    parts = [partitions_read_by(testbed, process) for process in processes]
    complete = all(parts) and sum(map(len, parts)) == testbed.partitions == len(set().union(*parts))
    return "" if complete else f"partitions: {parts}"


def unshared_partitions_of_group(testbed, members):
    """Return an empty text when, by the broker, `members` members share all partitions without overlap."""
    admin = AdminClient({"bootstrap.servers": testbed.kafka})
    group = f"{testbed.prefix}projector"
    try:
        group_members = admin.describe_consumer_groups([group], request_timeout=30)[group].result().members
    except KafkaException as error:  # a group has no coordinator before its first member joins
        return str(error)
    parts = [{one.partition for one in member.assignment.topic_partitions} for member in group_members]
    complete = all(parts) and sum(map(len, parts)) == testbed.partitions == len(set().union(*parts))
    return "" if complete and len(parts) == members else f"partitions: {parts}"


def test_one_two_and_four_projectors_share_twelve_partitions_without_deadlocks(kafka, store_url):
    testbed = ProjectorTestbed(kafka, store_url, partitions=12)
    events = [item.event for item in stream(events=5000)]
    producing = threading.Thread(target=testbed.produce, args=(events,), kwargs={"every": 0.25})
    try:
        first = testbed.start()
        producing.start()
        eventually(lambda: unshared_partitions(testbed, first))
        second = testbed.start()
        eventually(lambda: unshared_partitions(testbed, first, second))
        third, fourth = testbed.start(), testbed.start()
        eventually(lambda: unshared_partitions(testbed, first, second, third, fourth))
        second.kill()
        second.wait()
        eventually(lambda: unshared_partitions(testbed, first, third, fourth))
        third.send_signal(signal.SIGTERM)
        assert third.wait(60) == 0
        eventually(lambda: unshared_partitions(testbed, first, fourth))
        producing.join()
        testbed.wait_until_stored(events)
        for process in (first, third, fourth):
            assert "Another projector writes" not in testbed.log_of(process)
        with connect(store_url) as session:
            session.execute("select pg_stat_force_next_flush()")
            deadlocks = session.execute("select deadlocks from pg_stat_database where datname = current_database()")
            assert deadlocks.fetchone() == (0,)
    finally:
        testbed.stop()


def test_command_with_two_processes_restarts_a_killed_one_and_ends_both(testbed):
    events = [item.event for item in stream(events=2000)]
    command = testbed.start("projector", "--processes", "2")

    def children():
        return {int(pid) for pid in Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()}

    eventually(lambda: unshared_partitions_of_group(testbed, members=2))
    testbed.produce(events[:1000])
    before = children()
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    testbed.produce(events[1000:])
    eventually(lambda: "" if len(children()) == 2 and children() != before else "not started again")
    testbed.wait_until_stored(events)
    after = children()
    environments = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in after]
    assert {number for number in (0, 1) for one in environments if b"STUMBLE_PROJECTOR_CORE=%d" % number in one} == {
        0,
        1,
    }
    command.terminate()
    assert command.wait(60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in after)


def test_reading_continues_while_the_group_recovers(own_kafka: LocalKafka, store_url):
    """After an outage longer than a session, the broker makes the members wait for another session."""
    testbed = ProjectorTestbed(own_kafka.bootstrap_servers, store_url)
    events = [item.event for item in stream(events=1500)]
    try:
        process = testbed.start()
        testbed.produce(events[:500])
        eventually(testbed.lag)
        own_kafka.process.stop(signal.SIGKILL)
        eventually(
            lambda: (
                ""
                if "Lost contact with the consumer group" in testbed.log_of(process)
                else "the group is not missed yet"
            )
        )
        before = testbed.log_of(process).count("Reading partitions")
        own_kafka.stop()
        own_kafka.start()
        testbed.produce(events[500:1000])
        eventually(testbed.lag)
        eventually(
            lambda: "" if testbed.log_of(process).count("Reading partitions") > before else "not in the group yet"
        )
        testbed.produce(events[1000:])
        testbed.wait_until_stored(events)
        assert process.poll() is None
    finally:
        testbed.stop()
