"""Offsets that the broker is asked for."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import cast

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from stumble.kafka.consumer import LATEST, list_offsets


@dataclass
class Answer:
    offset: int


class Admin:
    """An admin client that answers with these offsets."""

    def __init__(self, *offsets):
        self.offsets = offsets

    def list_offsets(self, wanted, **_):
        answers: dict[TopicPartition, Future[Answer]] = {asked: Future() for asked in wanted}
        for answer, offset in zip(answers.values(), self.offsets, strict=True):
            answer.set_result(Answer(offset))
        return answers


def asked(*offsets):
    partitions = [TopicPartition("topic", number) for number in range(len(offsets))]
    answers = list_offsets(cast("AdminClient", Admin(*offsets)), partitions, LATEST, 1)
    return [answers[one] for one in partitions]


def test_offsets_are_those_of_the_broker():
    assert asked(7, 0) == [7, 0]


def test_offset_without_an_answer_of_the_broker_is_an_error():
    with pytest.raises(KafkaException, match="Timed out"):
        asked(7, -1001)
