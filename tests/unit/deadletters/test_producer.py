"""Sending dead letters while the broker does not answer."""

from __future__ import annotations

import time

import pytest

import stumble.deadletters.producer
from stumble.deadletters.producer import DeadLetterProducer
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.settings.kafka import KafkaSettings
from stumble.testing.in_memory import InMemoryRecord
from tests.support.fatal_producer import MOCK_CLUSTER, let_first_producer_fail


def bad(partition, offset, value=b"junk"):
    record = InMemoryRecord(value, partition, offset)
    return BadRecord(record, partition, offset, BadRecordError("decode", ValueError("no event")))


@pytest.fixture
def notes():
    return []


@pytest.fixture
def producer(notes):
    one = DeadLetterProducer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "group", notes.append)
    yield one
    one.close()


def test_nothing_to_send_needs_no_broker(producer, notes):
    assert (producer.send([]), notes) == ({}, [])


def test_only_the_first_caller_waits_for_a_broker_that_does_not_answer(producer, notes):
    assert producer.send([bad(0, 7)]) == {(0, 7): "no answer from the broker"}
    before = time.monotonic()
    refused = [producer.send([bad(number, 1), bad(number, 2)]) for number in range(20)]
    assert time.monotonic() - before < 50, "each caller that waits takes five seconds"
    assert [set(one) for one in refused] == [{(number, 1), (number, 2)} for number in range(20)]
    assert notes == [False]


def test_producer_with_a_fatal_error_is_replaced(monkeypatch, notes):
    let_first_producer_fail(monkeypatch, stumble.deadletters.producer)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", options=MOCK_CLUSTER)
    producer = DeadLetterProducer(settings, "group", notes.append)
    assert producer.send([bad(0, 7)]) == {(0, 7): "out of sequence"}
    deadline = time.monotonic() + 30
    while producer.send([bad(0, 7)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    producer.close()
    assert notes == [False, True]
