"""The producer of publications while no broker answers, and after a fatal error."""

from __future__ import annotations

import threading
import uuid

import pytest

import stumble.alerts.delivery
from stumble.alerts.delivery import TopicPublisher, UndeliveredError
from stumble.alerts.publications import StoredPublication
from stumble.ingest.payload import failure_payload
from stumble.local.ports import free_port
from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import fact_of
from stumble.settings.kafka import KafkaSettings
from stumble.testing.events import decoded
from tests.support.fatal_producer import MOCK_CLUSTER, let_first_producer_fail


def publication() -> StoredPublication:
    failed = {"exception": "NoValidHost", "message": "no host", "reason": "no host", "blame": "CAPACITY"}
    event = decoded(phase="ERROR", signal="action_finish", failure=failed)
    (record,) = derive_requests(event["instance_uuid"], [fact_of(event)])
    payload = failure_payload(record, record.failures[0])
    subject, request_key, instance = (str(uuid.uuid4()) for _ in range(3))
    return StoredPublication(
        id=1,
        incarnation=1,
        xid="1",
        kind="failure",
        subject_id=subject,
        request_key=request_key,
        instance_uuid=instance,
        revision=1,
        correction=False,
        status="CURRENT",
        replaced_by=None,
        payload=payload,
        created_us=1_790_000_000_000_000,
    )


def test_outage_is_known_while_a_send_waits_and_not_after_it() -> None:
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", producer_options={"message.timeout.ms": "3000"})
    publisher = TopicPublisher(kafka)
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            seen.append(publisher.outage_seconds())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with pytest.raises(UndeliveredError):
            publisher.send([publication()])
    finally:
        over.set()
        watcher.join()
    assert max(seen) > 0
    assert publisher.outage_seconds() == 0, "a standby alerter would stay not ready"


def test_producer_with_a_fatal_error_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    let_first_producer_fail(monkeypatch, stumble.alerts.delivery)
    publisher = TopicPublisher(KafkaSettings(bootstrap_servers="127.0.0.1:1", options=MOCK_CLUSTER))
    with pytest.raises(UndeliveredError, match=r"1 records: out of sequence\."):
        publisher.send([publication()])
    publisher.send([publication()])
