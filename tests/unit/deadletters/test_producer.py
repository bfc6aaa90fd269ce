"""Sending dead letters while the broker does not answer."""

from __future__ import annotations

import time

import pytest

from stumble.deadletters.producer import DeadLetterProducer
from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import BadRecordError
from stumble.settings.kafka import KafkaSettings
from stumble.testing.in_memory import InMemoryRecord


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
