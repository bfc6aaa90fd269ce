"""The projector's loop with a topic and a store in memory."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import KafkaError

from stumble.clock.clock import Clock
from stumble.deadletters.producer import DeadLetterProducer
from stumble.ingest.decoding import EventDecoder
from stumble.ingest.transaction import StoreWriter
from stumble.kafka.client_errors import ClientErrors
from stumble.projector.batch_collector import BatchCollector
from stumble.projector.batch_writer import BatchWriter
from stumble.projector.breaker import CircuitBreaker
from stumble.projector.bridged_hosts import BridgedHosts
from stumble.projector.decoding_mark import DecodingMark
from stumble.projector.health import ProjectorHealth
from stumble.projector.host_notices import HostNotices
from stumble.projector.loop import Projector
from stumble.projector.partition_state import PartitionState
from stumble.projector.partitions import AssignedPartitions
from stumble.projector.signature_rejections import SignatureRejections
from stumble.projector.start_offsets import StartOffsets
from stumble.projector.store_session import StoreSession
from stumble.projector.topic_ends import TopicEnds
from stumble.projector.write_thread import WriteThread
from stumble.runtime.state_log import StateLog
from stumble.testing.clock import ManualClock
from stumble.testing.events import event, framed
from stumble.testing.in_memory import InMemoryConsumer, InMemoryStore
from stumble.wire.codec import frame_confluent, frame_single_object
from stumble.wire.errors import RegistryUnavailable, StumbleError
from stumble.wire.schemas import EVENT


class NoClock:
    def __init__(self):
        self.watermarks = {}

    def at(self, positions): ...
    def job(self, reading): ...


class NoSession:
    """A session that runs the work immediately."""

    def run(self, work):
        return work(None)

    def query_or(self, default, _):
        return default

    def close(self): ...


class AcceptingTopic:
    """A dead letter topic that accepts everything."""

    def __init__(self):
        self.records = []

        #: Why it accepts nothing; None: it accepts records.
        self.refusal = None

    def send(self, bad):
        if self.refusal is not None:
            return {(item.partition, item.offset): self.refusal for item in bad}
        self.records += bad
        return {}

    def close(self): ...


class Registry:
    """A schema registry that knows the event's schema under every id, or does not answer."""

    def __init__(self):
        self.fault = None

    def resolve(self, _):
        if self.fault is not None:
            raise RegistryUnavailable(self.fault)
        return EVENT.json


class Bench:
    """A projector that reads a topic in memory into a store in memory."""

    def __init__(self, folder: Path):
        self.clock = ManualClock()
        self.topic = InMemoryConsumer()
        self.store = InMemoryStore(self.topic)
        self.dead_letters = AcceptingTopic()
        self.health = ProjectorHealth(stuck_after=60, now=self.clock.steady)
        self.ends = TopicEnds(self.topic.end_offsets, self.health, logging.getLogger("stumble.test"))
        self.registry = Registry()
        log, breaker = StateLog(logging.getLogger("stumble.test")), CircuitBreaker(3, 0.5)
        writer = BatchWriter(
            cast("StoreSession", NoSession()),
            cast("StoreWriter", self.store),
            cast("DeadLetterProducer", self.dead_letters),
            breaker,
            self.health,
            log,
            HostNotices(logging.getLogger("stumble.test")),
        )
        self.rejections = SignatureRejections(self.health, logging.getLogger("stumble.test"))
        self.write_thread = WriteThread(writer, writer, threading.Event())
        self.projector = Projector(
            consumer=self.topic,
            start_offsets=cast("StartOffsets", self.store),
            collector=BatchCollector(
                EventDecoder(self.registry.resolve),
                BridgedHosts(),
                100,
                1 << 20,
                self.rejections,
                DecodingMark(folder, self.topic.topic, log),
            ),
            partitions=AssignedPartitions(now=self.clock.steady),
            writer=self.write_thread,
            breaker=breaker,
            clock=cast("Clock", NoClock()),
            ends=self.ends,
            client_errors=ClientErrors(log, "broker:9092"),
            health=self.health,
            state_log=log,
        )
        self.topic.subscribe(self.projector)
        self.write_thread.start()

    def turn(self, times=3):
        for _ in range(times):
            self.projector.run_once()
            assert self.write_thread.wait(5)

    def seconds(self, count):
        """Let seconds pass: the loop runs, and the broker tells the ends of the partitions."""
        for _ in range(count):
            self.clock.advance(1)
            self.ends.run_once()
            self.turn(times=2)

    def gauge(self, name, **labels):
        return self.health.metrics.registry.get_sample_value(name, labels)

    def wait_for_offsets(self, offsets):
        for _ in range(500):
            self.turn(times=1)
            if self.store.offsets == offsets:
                return
            time.sleep(0.01)
        assert self.store.offsets == offsets


@pytest.fixture
def bench(tmp_path: Path):
    bench_of_test = Bench(tmp_path)
    yield bench_of_test
    bench_of_test.write_thread.end()
    bench_of_test.write_thread.join(5)


def values(*numbers):
    return [framed(event(request_id=f"req-{number}")) for number in numbers]


def test_records_are_stored_and_offsets_committed(bench):
    bench.topic.append(0, *values(1, 2, 3))
    bench.topic.assign(0)
    bench.turn()
    assert (len(bench.store.events), bench.store.offsets) == (3, {0: 3})
    assert bench.health.ready() == (True, "partitions read: 1")


def test_offset_gap_is_accepted_after_second_read(bench):
    bench.topic.append(0, *values(1, 2), at=5)
    bench.topic.assign(0)
    bench.turn(times=1)
    assert bench.store.events == [], "a gap is read a second time before it is accepted"
    bench.turn()
    assert bench.store.offsets == {0: 7}


def test_records_that_appear_in_a_suspected_gap_are_stored(bench):
    bench.topic.append(0, *values(5), at=5)
    bench.topic.assign(0)
    bench.turn(times=1)
    bench.topic.append(0, *values(0, 1, 2, 3, 4), at=0)
    bench.turn()
    assert (len(bench.store.events), bench.store.offsets) == (6, {0: 6})


def test_store_follows_to_an_end_that_offsets_without_records_precede(bench):
    bench.topic.append(0, *values(1, 2))
    bench.topic.append_control_record(0)
    bench.topic.assign(0)
    bench.turn()
    assert (len(bench.store.events), bench.store.offsets) == (2, {0: 3})
    bench.topic.append(0, *values(3))
    bench.turn()
    assert (len(bench.store.events), bench.store.offsets) == (3, {0: 4})


def test_partition_without_any_record_is_read_to_its_end(bench):
    bench.topic.append_control_record(0)
    bench.topic.assign(0)
    bench.turn(times=2)
    bench.wait_for_offsets({0: 1})


def test_transactions_in_sequence_cost_no_seek(bench):
    seeks = []
    bench.topic.seek = lambda *given: seeks.append(given)
    for number in range(1000):
        bench.topic.append(0, *values(number))
        bench.topic.append_control_record(0)
    bench.topic.assign(0)
    bench.turn(times=30)
    bench.wait_for_offsets({0: 2000})
    assert (len(bench.store.events), seeks) == (1000, [])


def test_damaged_batch_stops_its_partition_with_the_words_of_the_client(bench):
    bench.topic.append(0, *values(1, 2))
    bench.topic.assign(0)
    bench.turn()
    bench.topic.report(0, KafkaError(KafkaError.INVALID_MSG, "MessageSet at offset 2 failed CRC32C check"), 2)
    bench.topic.append(0, *values(4), at=3)
    bench.turn(times=1)
    assert bench.health.ready()[1] == (
        "Partition 0 of instance-actions: the broker holds a damaged batch at offset 2 (INVALID_MSG: MessageSet at "
        "offset 2 failed CRC32C check). Restore the batch from another replica, or skip it: `kafka-dump-log.sh` shows "
        "its last offset, and `stumble offsets set --partition 0 --to N --skip` continues at the offset N after it."
    )
    assert bench.store.offsets == {0: 2}, "the batch after it is not read"


def test_truncated_partition_stays_stopped_until_the_operator_moves_its_offset(bench):
    bench.topic.append(0, *values(1, 2))
    bench.topic.assign(0)
    bench.turn()
    text = "Partition log truncation detected at offset 2: Local: Partition log truncation detected"
    bench.topic.report(0, KafkaError(KafkaError._AUTO_OFFSET_RESET, text), 2)
    bench.turn(times=1)
    assert "the topic ended before the next offset, 2" in bench.health.ready()[1]
    bench.topic.append(0, *values(3))
    bench.clock.advance(PartitionState.OFFSET_BEYOND_END.retry_seconds)
    bench.turn()
    assert bench.store.offsets == {0: 2}, "the topic has grown again, with other records"
    bench.store.stops.clear()  # what `stumble offsets resume` does
    bench.clock.advance(PartitionState.OFFSET_BEYOND_END.retry_seconds)
    bench.turn()
    assert bench.store.offsets == {0: 3}


def test_offset_that_the_store_has_not_reached_yet_is_judged_after_a_restart_at_the_stored_offset(bench):
    bench.topic.append(0, *values(1, 2, 3))
    bench.topic.assign(0)
    bench.projector.run_once()
    bench.topic.report(0, KafkaError(KafkaError._AUTO_OFFSET_RESET, "offset 3 is out of range"), 3)
    bench.turn()
    assert (bench.store.stops, bench.store.offsets) == ({}, {0: 3})


def test_fenced_partition_is_read_again_from_the_store(bench):
    bench.topic.append(0, *values(0, 1, 2, 3))
    bench.topic.assign(0)
    bench.store.offsets[0] = 2  # another projector was faster
    bench.turn(times=6)
    assert (len(bench.store.events), bench.store.offsets) == (2, {0: 4})


def test_bad_record_goes_to_the_dead_letter_topic_alone(bench):
    bench.topic.append(0, *values(0), b"no event", *values(2))
    bench.topic.assign(0)
    bench.turn()
    assert [item.offset for item in bench.dead_letters.records] == [1]
    assert (len(bench.store.events), bench.store.offsets) == (2, {0: 3})


def test_too_many_bad_records_block_the_partition(bench):
    bench.topic.append(0, *[b"no event"] * 5)
    bench.topic.assign(0)
    bench.turn()
    assert bench.store.offsets == {0: 3}
    is_ready, text = bench.health.ready()
    assert not is_ready
    assert f"Partition 0 of {bench.topic.topic}: stopped at offset 3: 3 records in a row cannot be read" in text


def test_bad_records_fill_a_batch_as_events_do(bench):
    polled, poll, is_accepted = [], bench.topic.poll, threading.Event()

    def count(limit, timeout):
        messages = poll(limit, timeout)
        polled.extend(messages)
        return messages

    def wait_for_broker(_):
        is_accepted.wait(30)
        return {}

    bench.topic.poll, bench.dead_letters.send = count, wait_for_broker
    bench.topic.append(0, *[b"no event"] * 1000)
    bench.topic.assign(0)
    for _ in range(8):
        bench.projector.run_once()
    is_accepted.set()
    assert len(polled) == 200, "one batch waits for the dead letter topic, the next one is full"


@pytest.mark.parametrize("value", [b"no event", frame_single_object(EVENT, b"\x02")], ids=["frame", "body"])
def test_bad_record_is_freed_without_the_garbage_collector(bench, value):
    bench.topic.append(0, value)
    bench.topic.assign(0)
    gc.disable()
    try:
        bench.turn()
        bench.wait_for_offsets({0: 1})
        error = weakref.ref(bench.dead_letters.records.pop().error)
        bench.topic.append(0, *values(1))  # until the next batch, the writer holds the last one
        bench.turn()
        bench.wait_for_offsets({0: 2})
        assert error() is None
    finally:
        gc.enable()


def test_partition_of_a_recreated_topic_waits_for_the_operator(bench):
    bench.store.offsets[0] = 7
    bench.topic.id = "topic-2"
    bench.topic.assign(0)
    bench.turn(times=1)
    assert bench.health.ready()[1] == (
        "Partition 0 of instance-actions: the topic was deleted and created again: records from offset 7 on are lost. "
        "To continue, run `stumble offsets resume --partition 0` (--dry-run shows from where)."
    )
    bench.topic.append(0, *values(0))
    bench.store.topic_id, bench.store.offsets[0] = "topic-2", 0  # what `stumble offsets resume` does
    bench.clock.advance(PartitionState.TOPIC_RECREATED.retry_seconds)
    bench.turn()
    assert bench.store.offsets == {0: 1}


def test_group_that_assigns_nothing_although_kafka_answers_is_joined_again(bench, caplog):
    bench.topic.assign(0)
    bench.seconds(300)
    assert bench.topic.reopened == 0
    bench.topic.reopen()  # as when the client loses its membership
    bench.seconds(110)
    assert (bench.topic.reopened, caplog.messages) == (1, [])
    bench.seconds(20)
    assert bench.topic.reopened == 2
    text = "The consumer group has assigned nothing for two minutes, but Kafka answers; joining it again."
    assert caplog.messages == [text]
    bench.seconds(110)
    assert bench.topic.reopened == 2, "the new client has time to join"
    bench.topic.assign()
    bench.seconds(300)
    assert bench.topic.reopened == 2, "a member may get no partition"


def test_group_is_not_joined_again_while_kafka_does_not_answer(bench):
    bench.seconds(1)
    for _ in range(300):
        bench.clock.advance(1)
        bench.turn(times=1)
    assert bench.topic.reopened == 0
    bench.seconds(100)
    assert bench.topic.reopened == 0
    bench.seconds(30)
    assert bench.topic.reopened == 1


BLOCKED = "stumble_projector_blocked_partitions"
#: The shipped alert fires after this time.
FIVE_MINUTES = 300


def test_partition_that_is_retried_without_success_stays_blocked_everywhere(bench, caplog):
    bench.dead_letters.refusal = "no such topic"
    bench.topic.append(0, *values(0), b"no event")
    bench.topic.assign(0)
    bench.turn()
    caplog.clear()
    since = bench.health.states()[0].since
    for _ in range(FIVE_MINUTES):
        bench.seconds(1)
        assert (bench.gauge(BLOCKED), bench.health.ready()[0]) == (1, False)
    assert bench.store.offsets == {0: 1}
    assert bench.health.states()[0].since == since
    assert caplog.messages == [], "nothing has changed"
    bench.dead_letters.refusal = None
    bench.seconds(6)
    assert bench.store.offsets == {0: 2}
    assert (bench.gauge(BLOCKED), bench.health.ready()[0]) == (0, True)
    assert "Partition 0 of instance-actions is read again." in caplog.messages


def test_partition_that_waits_for_the_registry_stores_what_was_read_before(bench, caplog):
    bench.registry.fault = "The registry does not answer."
    needs_registry = frame_confluent(7, framed(event(request_id="req-1"))[10:])
    bench.topic.append(0, *values(0), needs_registry, *values(2))
    bench.topic.append(1, *values(3))
    bench.topic.assign(0, 1)
    bench.seconds(30)
    assert bench.store.offsets == {0: 1, 1: 1}
    assert (bench.gauge(BLOCKED), bench.health.ready()[0]) == (1, False)
    assert len([text for text in caplog.messages if "registry" in text]) == 1
    bench.topic.append(1, *values(4))
    bench.turn()
    assert bench.store.offsets[1] == 2, "another partition does not wait"
    bench.registry.fault = None
    bench.seconds(6)
    assert bench.store.offsets == {0: 3, 1: 2}
    assert bench.health.ready()[0]


def test_lag_and_backlog_are_absent_while_kafka_does_not_answer(bench):
    bench.topic.append(0, *values(0))
    bench.topic.assign(0)
    bench.turn()
    bench.ends.run_once()
    bench.projector.report_lag()
    backlog = "stumble_projector_backlog_records"
    assert bench.gauge(backlog, partition="0") == 0
    progressed_at = bench.gauge("stumble_projector_last_progress_timestamp_seconds")
    bench.projector.on_client_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    bench.clock.advance(10)
    bench.turn()
    bench.projector.report_lag()
    assert bench.gauge(backlog, partition="0") is None
    assert bench.gauge("stumble_projector_lag_seconds", partition="0") is None
    assert bench.gauge("stumble_projector_last_progress_timestamp_seconds") == progressed_at
    assert bench.gauge("stumble_projector_dependency_up", dependency="kafka") == 0
    assert bench.health.ready() == (False, "Kafka at broker:9092 does not answer; reading is paused, nothing is lost.")
    assert bench.health.live()[0], "a restart does not help"
    bench.ends.run_once()
    bench.projector.report_lag()
    assert (bench.gauge(backlog, partition="0"), bench.health.ready()[0]) == (0, True)


def test_store_that_is_silent_is_logged_once(bench, caplog):
    with bench.health.store_call():
        bench.clock.advance(25)
        bench.health.kafka_answered()
        bench.turn()
    text = "The store has done nothing for 25 s: it does not answer. Reading is paused, nothing is lost."
    assert caplog.messages == [text]


def test_missing_topic_is_an_answer_of_kafka(bench, caplog):
    bench.projector.on_client_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    bench.topic.report(0, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), 0)
    bench.turn(times=1)
    assert caplog.messages[-2:] == [
        "Kafka answers again.",
        "Topic instance-actions does not exist: create it with `stumble topics apply`.",
    ]


def test_revoked_partition_is_forgotten(bench):
    bench.topic.append(0, *values(0))
    bench.topic.assign(0, 1)
    bench.topic.revoke(0)
    bench.turn()
    assert (bench.store.events, bench.health.ready()[1]) == ([], "partitions read: 1")


def test_fatal_client_error_ends_the_projector_with_one_sentence(bench):
    bench.projector.on_client_error(KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", fatal=True))
    with pytest.raises(StumbleError, match="Kafka client failed: fenced; restart the projector"):
        bench.turn(times=1)


def test_projector_that_was_suspended_itself_stops_reading_without_the_group(bench):
    bench.store.offsets[3] = 17
    bench.topic.assign(3)
    assert bench.projector.on_group_lost([3]) == {}
    bench.projector.on_client_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert bench.projector.on_group_lost([3]) == {3: 17}
