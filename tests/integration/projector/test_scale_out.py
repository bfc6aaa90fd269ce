"""More projectors, fewer projectors, and a group that is not heard: the store stays what the events come to."""

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
from tests.support.projection import World, eventually, stream

pytestmark = pytest.mark.timeout(600)


def reads(world, process):
    """The partitions that a projector said last that it reads."""
    said = [line for line in world.said(process).splitlines() if "Reading partitions" in line]
    if not said:
        return set()
    return {int(word) for word in said[-1].partition("Reading partitions [")[2].partition("]")[0].split(",") if word}


def shared(world, *processes):
    """Nothing when these have all partitions between them, each its own."""
    parts = [reads(world, process) for process in processes]
    whole = all(parts) and sum(map(len, parts)) == world.partitions == len(set().union(*parts))
    return "" if whole else f"partitions: {parts}"


def shared_in_group(world, members):
    """Nothing when so many members of the group have all partitions between them, as the broker says."""
    admin = AdminClient({"bootstrap.servers": world.kafka})
    group = f"{world.prefix}projector"
    try:
        found = admin.describe_consumer_groups([group], request_timeout=30)[group].result().members
    except KafkaException as error:  # a group's first coordinator is found when its first member comes
        return str(error)
    parts = [{one.partition for one in member.assignment.topic_partitions} for member in found]
    whole = all(parts) and sum(map(len, parts)) == world.partitions == len(set().union(*parts))
    return "" if whole and len(parts) == members else f"partitions: {parts}"


def test_one_two_and_four_projectors_share_twelve_partitions_without_deadlocks(kafka, store_url):
    world = World(kafka, store_url, partitions=12)
    events = [item.event for item in stream(events=5000)]
    feeding = threading.Thread(target=world.produce, args=(events,), kwargs={"every": 0.25})
    try:
        first = world.start()
        feeding.start()
        eventually(lambda: shared(world, first))
        second = world.start()
        eventually(lambda: shared(world, first, second))
        third, fourth = world.start(), world.start()
        eventually(lambda: shared(world, first, second, third, fourth))
        second.kill()
        second.wait()
        eventually(lambda: shared(world, first, third, fourth))
        third.send_signal(signal.SIGTERM)
        assert third.wait(60) == 0
        eventually(lambda: shared(world, first, fourth))
        feeding.join()
        world.settle(events)
        for process in (first, third, fourth):
            assert "written by another projector" not in world.said(process)
        with connect(store_url) as session:
            session.execute("select pg_stat_force_next_flush()")
            found = session.execute("select deadlocks from pg_stat_database where datname = current_database()")
            assert found.fetchone() == (0,)
    finally:
        world.stop()


def test_one_command_of_two_processes_starts_a_killed_one_again_and_ends_both(world):
    events = [item.event for item in stream(events=2000)]
    command = world.start("projector", "--processes", "2")

    def children():
        return {int(pid) for pid in Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()}

    eventually(lambda: shared_in_group(world, members=2))
    world.produce(events[:1000])
    before = children()
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    world.produce(events[1000:])
    eventually(lambda: "" if len(children()) == 2 and children() != before else "not started again")
    world.settle(events)
    after = children()
    found = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in after]
    assert {number for number in (0, 1) for one in found if b"STUMBLE_PROJECTOR_CORE=%d" % number in one} == {0, 1}
    command.terminate()
    assert command.wait(60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in after)


def test_reading_goes_on_while_the_group_comes_back(own_kafka: LocalKafka, store_url):
    """A broker that was away for longer than a session lets its members wait for another one."""
    world = World(own_kafka.bootstrap_servers, store_url)
    events = [item.event for item in stream(events=1500)]
    try:
        process = world.start()
        world.produce(events[:500])
        eventually(world.behind)
        own_kafka.process.stop(signal.SIGKILL)
        eventually(
            lambda: (
                "" if "Lost contact with the consumer group" in world.said(process) else "the group is not missed yet"
            )
        )
        before = world.said(process).count("Reading partitions")
        own_kafka.stop()
        own_kafka.start()
        world.produce(events[500:1000])
        eventually(world.behind)
        eventually(lambda: "" if world.said(process).count("Reading partitions") > before else "not in the group yet")
        world.produce(events[1000:])
        world.settle(events)
        assert process.poll() is None
    finally:
        world.stop()
