"""Which rejected records the dead letter topic gets, and what the metrics and the log say about all of them."""

from __future__ import annotations

import logging

import pytest

from stumble.ingest.batch import BadRecord
from stumble.ingest.errors import SIGNATURE, BadRecordError
from stumble.projector.health import ProjectorHealth
from stumble.projector.signature_rejections import SignatureRejections
from stumble.signatures.errors import SignatureRejected
from stumble.testing.in_memory import InMemoryRecord

LOG = logging.getLogger("stumble.test")


@pytest.fixture
def health():
    return ProjectorHealth(stuck_after=60)


def bad_record(reason="unsigned", value=b"junk"):
    error = BadRecordError(SIGNATURE, SignatureRejected(reason, "No signature."))
    return BadRecord(InMemoryRecord(value, 3, 17), 3, 17, error)


def test_dead_letter_topic_gets_a_sample_of_each_reason_and_metrics_count_all(health, caplog):
    rejections = SignatureRejections(health, LOG)
    caplog.set_level("WARNING")
    stored = sum(rejections.add_bad_record(bad_record()) for _ in range(1000))
    assert stored == 20
    assert rejections.add_bad_record(bad_record("foreign_host")), "a flood of one kind does not displace the others"
    text = health.metrics.registry.get_sample_value
    assert text("stumble_projector_signature_rejected_total", {"reason": "unsigned"}) == 1000
    assert text("stumble_projector_signature_rejected_total", {"reason": "foreign_host"}) == 1
    assert text("stumble_projector_signature_rejected_total", {"reason": "expired_key"}) == 0, "there before the first"
    assert [record.getMessage() for record in caplog.records] == [
        "Rejected 1 records for their signature, the last one at instance-actions 3:17: No signature."
    ]


def test_record_larger_than_any_event_is_not_stored(health):
    rejections = SignatureRejections(health, LOG)
    assert not rejections.add_bad_record(bad_record(value=bytes((64 << 10) + 1)))
    assert rejections.add_bad_record(bad_record(value=bytes(64 << 10)))
