"""What is logged of a Kafka client's errors."""

from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError

from stumble.kafka.client_errors import ClientErrors
from stumble.runtime.error_texts import connection_reason
from stumble.runtime.state_log import StateLog

ALL_DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
PAUSED = "reading is paused, nothing is lost."


def transport(text):
    return KafkaError(KafkaError._TRANSPORT, text)  # noqa: SLF001


@pytest.fixture
def errors():
    return ClientErrors(StateLog(logging.getLogger("stumble.test")), "a:9092,b:9092")


def test_words_of_the_client_follow_the_sentence(errors, caplog):
    reason = "connecting to a PLAINTEXT broker listener?"
    text = f"ssl://a:9092/bootstrap: SSL handshake failed: {reason} (after 3ms in state SSL_HANDSHAKE)"
    errors.on_error(KafkaError(KafkaError._SSL, text))
    errors.on_error(ALL_DOWN)
    assert caplog.messages == [f"Kafka at a:9092,b:9092 does not answer ({reason}); {PAUSED}"]


def test_one_broker_of_several_that_is_down_is_not_reported(errors, caplog):
    errors.on_error(transport("a:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused"))
    assert (caplog.messages, errors.text) == ([], "")
    assert errors.broker_was_unreachable


def test_each_reason_is_logged_once_until_kafka_answers(errors, caplog):
    for _ in range(3):
        for number, why in enumerate(("Network is unreachable", "No route to host")):
            errors.on_error(transport(f"a:909{number}/{number}: Connect failed: {why} (after 0ms in state CONNECT)"))
            errors.on_error(ALL_DOWN)
    assert len(caplog.messages) == 2
    errors.on_answer()
    errors.on_answer()
    assert caplog.messages[2:] == ["Kafka answers again."]
    errors.on_error(ALL_DOWN)
    assert caplog.messages[3:] == [f"Kafka at a:9092,b:9092 does not answer; {PAUSED}"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "kafka:9/bootstrap: Connect failed: No route to host (after 0ms in state CONNECT, 3 identical error(s))",
            "Connect failed: No route to host",
        ),
        (
            "sasl_ssl://kafka:9093/2: SASL authentication error: password=hunter2",
            "SASL authentication error: password=***",
        ),
        ("kafka:9/1: Connect to ipv4#10.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)", ""),
        ("kafka:9/1: Disconnected (after 6000ms in state UP)", ""),
        ("kafka:9/1: Disconnected: connection closed by peer: receive 0 after POLLIN (after 15ms in state UP)", ""),
        ("kafka:9/1: Receive failed: Connection reset by peer (after 15ms in state UP)", ""),
        ("GroupCoordinator: kafka:9: Disconnected: connection closed by peer (after 15ms in state UP)", ""),
        (
            "kafka:9/1: Disconnected: verify that security.protocol is correctly configured (after 1ms in state UP)",
            "Disconnected: verify that security.protocol is correctly configured",
        ),
        ("Failed to resolve 'kafka:9092'", "Failed to resolve 'kafka:9092'"),
    ],
)
def test_reason_has_no_name_of_the_broker_and_no_times(text, reason):
    assert connection_reason(text) == reason
