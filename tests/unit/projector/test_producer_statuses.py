"""The reader of producers' statuses while the broker does not answer."""

from __future__ import annotations

import logging

import pytest

from stumble.kafka.consumer import TopicConsumer
from stumble.projector.health import ProjectorHealth
from stumble.projector.host_notices import HostNotices
from stumble.projector.producer_statuses import ProducerStatusReader
from stumble.projector.signature_rejections import SignatureRejections
from stumble.settings.base import Settings

LOG = logging.getLogger("stumble.test")


def test_no_status_is_read_before_the_id_of_the_topic_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statuses of a topic with another id replace those that the store has, whatever their offsets are."""
    answers = [None, None, "the id"]
    read_with: list[int] = []
    monkeypatch.setattr(TopicConsumer, "subscribe", lambda *_: None)
    monkeypatch.setattr(TopicConsumer, "topic_id", lambda _: answers.pop(0))

    def poll(*_: object) -> list[object]:
        read_with.append(len(answers))
        return []

    monkeypatch.setattr(TopicConsumer, "poll", poll)
    reader = ProducerStatusReader(
        Settings(),
        "group",
        None,
        HostNotices(LOG),
        SignatureRejections(ProjectorHealth(stuck_after=60), LOG),
    )
    for _ in range(5):
        reader.run_once()
    reader.close()
    assert read_with == [0, 0, 0]
