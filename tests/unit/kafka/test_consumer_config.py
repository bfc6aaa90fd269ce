"""Settings of the Kafka consumer."""

from __future__ import annotations

from stumble.kafka.consumer import consumer_config
from stumble.settings.kafka import KafkaSettings


def test_new_group_protocol_omits_session_and_assignment_settings():
    classic = consumer_config(KafkaSettings(), "g")
    assert classic["session.timeout.ms"] < 10_000
    assert classic["auto.offset.reset"] == "error"
    assert classic["partition.assignment.strategy"] == "range"
    new = consumer_config(KafkaSettings(consumer_options={"group.protocol": "consumer"}), "g")
    assert "session.timeout.ms" not in new
    assert "partition.assignment.strategy" not in new
