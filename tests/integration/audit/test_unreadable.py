"""A record that can't be read is in the dead-letter topic, or is reported as missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stumble.audit.offset_range import range_of
from stumble.audit.topic import DecodingJob, read_records
from stumble.audit.unreadable import BEFORE_DEAD_LETTERS
from stumble.deadletters.producer import DeadLetterProducer
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from stumble.store.queries import query
from tests.integration.audit.conftest import UNREADABLE_INSTANCE, Store
from tests.support.projection import ProjectorTestbed

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def store_with_unreadable_records(kafka, new_database):
    """A store whose offset is after three records that can't be read, and these records as bad ones, in order."""
    testbed = ProjectorTestbed(kafka, new_database(), partitions=1)
    migrate(testbed.url)
    for number in range(3):
        testbed.send(b"no event %d" % number)
    testbed.flush()
    span = range_of(testbed.settings, testbed.topic)
    with connect(testbed.url) as session:
        parameters = {"topic": testbed.topic, "topic_id": span.topic_id, "partitions": [0], "offsets": [3]}
        session.execute(query("create_offsets"), parameters)
    decoding = DecodingJob(testbed.settings)
    bad = [item for messages in read_records(testbed.settings, span) for item in decoding.readings(messages)[1]]
    testbed.forget_producer()  # it would log errors when the broker stops at the end of the run
    yield Store(testbed, testbed.url), bad
    testbed.stop()


class EarlierRecord:
    """A record that had the same offset before the topic was recreated."""

    def __init__(self, record):
        self._record = record

    def __getattr__(self, name):
        return getattr(self._record, name)

    def timestamp(self):
        kind, at = self._record.timestamp()
        return kind, at - 1


def test_unreadable_record_without_a_dead_letter_is_missing(store_with_unreadable_records):
    store, (first, second, third) = store_with_unreadable_records
    letters = DeadLetterProducer(store.testbed.settings, "test")
    other = replace(second, record=EarlierRecord(second.record))
    assert letters.send([first, other, third]) == {}
    status, report = store.audit()
    assert (status, report["differences"]) == (1, {"missing": {"record": 1}})
    assert (report["unreadable"], report["dead_letters"]) == (3, 2)
    (difference,) = report["found"]
    assert (difference["id"], difference["kafka_partition"], difference["kafka_offset"]) == ("0:1", 0, 1)
    assert "NotAvro" in difference["detail"]
    ended = store.run("audit", "--repair")
    assert ended.returncode == 1
    assert "missing   record 0:1: it can't be read (NotAvro: " in ended.stdout
    assert "3 records cannot be read, 2 of them are dead letters" in ended.stdout
    assert letters.send([second, second]) == {}
    status, report = store.audit()
    assert (status, report["found"], report["unreadable"], report["dead_letters"]) == (0, [], 3, 3)


def test_unreadable_record_not_yet_read_is_late_and_not_missing(store_with_unreadable_records):
    store, _ = store_with_unreadable_records
    store.corrupt("update offsets set next_offset = 0")
    status, report = store.audit("--wait", "0")
    assert (status, report["differences"], report["unreadable"]) == (1, {"late": {"partition": 1}}, 0)


def test_unreadable_record_is_left_out_after_its_dead_letter_expired(store_with_unreadable_records):
    store, (first, second, _) = store_with_unreadable_records
    settings = store.testbed.settings
    assert DeadLetterProducer(settings, "test").send([first, second]) == {}
    first_remaining = TopicPartition(settings.topics.dlq, 0, 1)
    admin = AdminClient(settings.client_config())
    assert admin.delete_records([first_remaining])[first_remaining].result(30).low_watermark == 1
    status, report = store.audit()
    assert (status, report["dead_letters"], report["left_out"]) == (0, 1, {BEFORE_DEAD_LETTERS: 2})


def test_audit_of_one_instance_includes_its_unreadable_record(store):
    status, report = store.audit("--instance", UNREADABLE_INSTANCE, "--processes", "2")
    assert (status, report["unreadable"], report["dead_letters"]) == (0, 1, 1)
