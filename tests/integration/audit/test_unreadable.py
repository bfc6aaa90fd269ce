"""A record that can't be read is accounted for by the dead letter topic, or named as missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stumble.audit.offset_range import range_of
from stumble.audit.topic import DecodingJob, records
from stumble.audit.unreadable import FORGOTTEN
from stumble.deadletters.producer import DeadLetterProducer
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from stumble.store.queries import query
from tests.integration.audit.conftest import NOBODY, Store
from tests.support.projection import World

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def passed_over(kafka, new_database):
    """A store that says to have come past three records which can't be read; the records as bad ones, in order."""
    world = World(kafka, new_database(), partitions=1)
    migrate(world.url)
    for number in range(3):
        world.send(b"no event %d" % number)
    world.flush()
    span = range_of(world.settings, world.topic)
    with connect(world.url) as session:
        place = {"topic": world.topic, "topic_id": span.topic_id, "partitions": [0], "offsets": [3]}
        session.execute(query("create_offsets"), place)
    decoding = DecodingJob(world.settings)
    bad = [item for messages in records(world.settings, span) for item in decoding.readings(messages)[1]]
    world.forget_producer()  # it would miss the broker at the end of the run
    yield Store(world, world.url), bad
    world.stop()


class EarlierTopics:
    """A record as the one that lay at the same place before the topic was made anew."""

    def __init__(self, record):
        self._record = record

    def __getattr__(self, name):
        return getattr(self._record, name)

    def timestamp(self):
        kind, at = self._record.timestamp()
        return kind, at - 1


def test_one_that_neither_store_nor_dead_letter_topic_has_is_missing(passed_over):
    store, (first, second, third) = passed_over
    letters = DeadLetterProducer(store.world.settings, "test")
    other = replace(second, record=EarlierTopics(second.record))
    assert letters.send([first, other, third]) == {}
    status, told = store.audit()
    assert (status, told["differences"]) == (1, {"missing": {"record": 1}})
    assert (told["unreadable"], told["dead_letters"]) == (3, 2)
    (found,) = told["found"]
    assert (found["id"], found["kafka_partition"], found["kafka_offset"]) == ("0:1", 0, 1)
    assert "NotAvro" in found["detail"]
    ended = store.run("audit", "--repair")
    assert ended.returncode == 1
    assert "missing   record 0:1: it can't be read (NotAvro: " in ended.stdout
    assert "3 records can't be read, 2 of them are dead letters" in ended.stdout
    assert letters.send([second, second]) == {}
    status, told = store.audit()
    assert (status, told["found"], told["unreadable"], told["dead_letters"]) == (0, [], 3, 3)


def test_one_that_the_store_has_not_come_to_is_late_and_not_missing(passed_over):
    store, _ = passed_over
    store.spoil("update offsets set next_offset = 0")
    status, told = store.audit("--wait", "0")
    assert (status, told["differences"], told["unreadable"]) == (1, {"late": {"partition": 1}}, 0)


def test_letters_that_retention_took_are_left_out(passed_over):
    store, (first, second, _) = passed_over
    settings = store.world.settings
    assert DeadLetterProducer(settings, "test").send([first, second]) == {}
    first_left = TopicPartition(settings.topics.dlq, 0, 1)
    admin = AdminClient(settings.client_config())
    assert admin.delete_records([first_left])[first_left].result(30).low_watermark == 1
    status, told = store.audit()
    assert (status, told["dead_letters"], told["left_out"]) == (0, 1, {FORGOTTEN: 2})


def test_one_of_a_server_is_looked_for_with_it(store):
    status, told = store.audit("--instance", NOBODY, "--processes", "2")
    assert (status, told["unreadable"], told["dead_letters"]) == (0, 1, 1)
