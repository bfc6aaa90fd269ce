"""The projector's state: what Kafka, the store, the threads and the partitions do to /healthz and /readyz."""

from __future__ import annotations

import logging
import threading

import pytest

from stumble.projector.health import ProjectorHealth
from stumble.projector.partition_state import PartitionState, PartitionStatus
from stumble.runtime.worker import Worker
from stumble.testing.clock import ManualClock

GONE = "Kafka at broker:9092 does not answer (Connection refused); reading is paused, nothing is lost."
STANDBY = "commits wait for a synchronous standby"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    result = ProjectorHealth(stuck_after=60, now=clock.steady)
    result.partitions({0, 1}, [])
    return result


def gauge(health, name, **labels):
    return health.metrics.registry.get_sample_value(name, labels)


def run(health, clock, seconds, *, kafka_answers=True, nothing_to_do=True):
    """Let seconds pass, in which the loop runs."""
    for _ in range(seconds):
        clock.advance(1)
        if kafka_answers:
            health.kafka_answered()
        health.turned(nothing_to_do=nothing_to_do)


def test_live_needs_progress_unless_the_store_is_down(health, clock):
    run(health, clock, 61, nothing_to_do=False)
    assert health.live() == (False, "nothing stored for 61 s although records wait")
    health.store_down("the database does not answer")
    assert health.live() == (True, "the database does not answer")
    assert health.ready() == (False, "the database does not answer")
    assert gauge(health, "stumble_projector_paused") == 1
    health.store_up()
    assert (health.live(), health.ready()) == ((True, "running"), (True, "partitions read: 2"))


def test_ready_names_blocked_partitions(health):
    block = PartitionStatus("t", 1, PartitionState.REGISTRY_UNAVAILABLE, detail="no answer")
    health.partitions({0, 1}, [block])
    is_ready, text = health.ready()
    assert (is_ready, text.partition(". ")[0]) == (
        False,
        "Partition 1 of t: waiting for the schema registry: no answer",
    )


def test_state_of_a_partition_keeps_its_beginning_until_it_changes(health):
    block = PartitionStatus("t", 1, PartitionState.BAD_RECORDS, 5, detail="bad")
    health.partitions({0, 1}, [block])
    since = health.states()[1].since
    health.partitions({0, 1}, [PartitionStatus("t", 1, PartitionState.BAD_RECORDS, 5, detail="worse")])
    assert health.states()[1].since == since
    health.partitions({0, 1}, [])
    assert (health.states()[1].state, health.states()[1].since > since) == (PartitionState.READING, True)


def test_kafka_that_is_gone_is_reported_within_ten_seconds(health, clock):
    run(health, clock, 30)
    assert health.ready()[0]
    health.kafka_failed(GONE)
    run(health, clock, 9, kafka_answers=False)
    assert health.ready() == (False, GONE)
    assert health.live() == (True, GONE), "a restart does not help"
    health.kafka_answered()
    assert health.ready()[0]


def test_kafka_that_is_silent_is_reported_within_thirty_seconds(health, clock):
    run(health, clock, 15, kafka_answers=False)
    assert health.ready()[0], "a broker that is overloaded for a few seconds is no fault"
    run(health, clock, 10, kafka_answers=False)
    assert health.ready() == (False, "Kafka has not answered for 25 s; reading is paused, nothing is lost.")
    assert gauge(health, "stumble_projector_dependency_up", dependency="kafka") == 0
    assert gauge(health, "stumble_projector_dependency_up", dependency="store") == 1


def test_progress_stands_while_kafka_does_not_tell_whether_records_wait(health, clock):
    run(health, clock, 1)
    at = gauge(health, "stumble_projector_last_progress_timestamp_seconds")
    run(health, clock, 8, kafka_answers=False)
    later = gauge(health, "stumble_projector_last_progress_timestamp_seconds")
    run(health, clock, 8, kafka_answers=False)
    assert at < later == gauge(health, "stumble_projector_last_progress_timestamp_seconds")


def test_call_of_the_store_without_an_answer_is_reported(health, clock):
    with health.store_call():
        run(health, clock, 15)
        assert health.ready()[0]
        run(health, clock, 10)
        text = "The store has done nothing for 25 s: it does not answer. Reading is paused, nothing is lost."
        assert (health.ready(), health.live()) == ((False, text), (True, text))
        assert gauge(health, "stumble_projector_paused") == 1
    assert (health.ready()[0], gauge(health, "stumble_projector_paused")) == (True, 0)


def test_long_call_of_a_store_that_shows_that_it_works_is_no_fault(health, clock):
    with health.store_call():
        for _ in range(50):
            run(health, clock, 1)
            health.store_works(None)
            assert health.ready()[0]
        run(health, clock, 20)
        assert not health.ready()[0], "nobody has seen it work since"


def test_commits_that_wait_for_a_standby_are_reported_with_their_reason(health, clock):
    with health.store_call():
        run(health, clock, 6)
        health.store_works(STANDBY)
        is_ready, text = health.ready()
        assert (is_ready, STANDBY in text) == (False, True)
        assert health.live()[0]
    health.store_works(None)
    assert health.ready()[0]


class Task(Worker):
    """A thread that waits in one call, or ends without a word."""

    longest_call_seconds = 2.0

    def __init__(self, *, ends=False):
        super().__init__("task", logging.getLogger("stumble.test"))
        self.release = threading.Event()
        self._ends = ends

    def run(self):
        if not self._ends:
            super().run()

    def run_once(self):
        self.release.wait(20)
        return 0.0


def test_thread_that_ended_fails_liveness_and_readiness(health):
    task = Task(ends=True)
    health.watch_threads([task])
    assert health.live()[0], "it was not started yet"
    task.start()
    task.join(10)
    text = "The thread task has ended: restart this process."
    assert (health.live(), health.ready()) == ((False, text), (False, text))


def test_thread_that_hangs_fails_liveness_unless_it_waits_for_a_service():
    health = ProjectorHealth(stuck_after=60)
    task = Task()
    health.watch_threads([task])
    task.start()
    try:
        health.store_down("the store does not answer")
        task.join(2.5)
        assert health.live() == (True, "the store does not answer")
        health.store_up()
        assert health.live()[0], "it has had no time to go on"
        task.join(2.5)
        assert not health.live()[0]
    finally:
        task.end()
        task.release.set()
        task.join(10)
