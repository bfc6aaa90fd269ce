"""Where a consumer starts to read, against the mock cluster of the Kafka client."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError, Producer

from stumble.kafka.consumer import TopicConsumer
from stumble.kafka.errors import is_log_truncation
from stumble.settings.kafka import KafkaSettings

TOPIC, RECORDS = "instance-actions", 5


class Listener:
    """Starts each partition at one offset, with the leader epoch of the record before it."""

    def __init__(self, offset, epoch):
        self.offset, self.epoch = offset, epoch

    def on_assigned(self, partitions):
        return dict.fromkeys(partitions, self.offset)

    def leader_epoch(self, _):
        return self.epoch

    def on_revoked(self, partitions): ...
    def on_group_lost(self, partitions): ...
    def on_client_error(self, error): ...


@pytest.fixture(scope="module")
def mock_cluster():
    """The address of a cluster in this process, whose topic has records in one partition."""
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused", "log_level": 0})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    for _ in range(RECORDS):
        producer.produce(TOPIC, b"value", partition=0)
    assert producer.flush(10) == 0
    yield f"{broker.host}:{broker.port}"
    del producer


@pytest.fixture
def open_consumer(mock_cluster):
    consumers = []

    def start(listener):
        consumers.append(TopicConsumer(KafkaSettings(bootstrap_servers=mock_cluster), TOPIC, f"group-{time.time_ns()}"))
        consumers[-1].subscribe(listener)
        return consumers[-1]

    yield start
    for consumer in consumers:
        consumer.close()


def messages_of_first_partition(consumer, is_last):
    deadline, messages = time.monotonic() + 30, []
    while time.monotonic() < deadline:
        messages += [message for message in consumer.poll(100, 0.1) if message.partition() == 0]
        if messages and is_last(messages[-1]):
            return messages
    raise AssertionError(messages)


def has_error(message):
    return message.error() is not None


def test_consumer_reads_from_its_offset_to_the_end_and_reports_the_end(open_consumer):
    *records, end = messages_of_first_partition(open_consumer(Listener(2, 0)), has_error)
    assert [record.offset() for record in records] == [2, 3, 4]
    assert (end.error().code(), end.offset()) == (KafkaError._PARTITION_EOF, RECORDS)


def test_position_whose_leader_epoch_the_topic_lacks_is_a_truncation_and_returns_no_record(open_consumer):
    (refused,) = messages_of_first_partition(open_consumer(Listener(3, 7)), has_error)
    assert is_log_truncation(refused.error())


def test_offset_without_a_leader_epoch_that_the_topic_lacks_is_out_of_range_only(open_consumer):
    (refused,) = messages_of_first_partition(open_consumer(Listener(RECORDS + 15, None)), has_error)
    assert refused.error().code() == KafkaError._AUTO_OFFSET_RESET
    assert not is_log_truncation(refused.error())
    assert refused.offset() == RECORDS + 15


def test_position_after_a_refused_one_is_validated_before_a_record_is_returned(open_consumer):
    listener = Listener(RECORDS + 15, 0)
    consumer = open_consumer(listener)
    messages_of_first_partition(consumer, has_error)
    listener.epoch = 7
    consumer.seek(0, {0: 3}, [])
    (refused,) = messages_of_first_partition(consumer, has_error)
    assert is_log_truncation(refused.error())
    listener.epoch = None  # what `stumble offsets set` does
    consumer.seek(0, {0: 3}, [])
    *records, _ = messages_of_first_partition(consumer, has_error)
    assert [record.offset() for record in records] == [3, 4]
