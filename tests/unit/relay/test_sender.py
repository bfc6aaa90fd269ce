"""The relay's producer: what it logs about a broker that it cannot reach, and fatal errors of the client."""

from __future__ import annotations

import logging
import socketserver
import time

import pytest
from confluent_kafka import KafkaError, Message

import stumble.relay.sender
from stumble.relay.framing import FramedRecord
from stumble.relay.sender import KafkaSender
from stumble.runtime.state_log import StateLog
from stumble.settings.kafka import KafkaSettings
from tests.support.fatal_producer import MOCK_CLUSTER, let_first_producer_fail
from tests.support.serving import serving


class NoTls(socketserver.BaseRequestHandler):
    """A server that does not know TLS."""

    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"what is this?\n" * 10)


def test_reason_of_a_refused_connection_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), NoTls)) as url:
        address = url.removeprefix("http://")
        settings = KafkaSettings(bootstrap_servers=address, options={"security.protocol": "ssl"})
        sender = KafkaSender(settings, StateLog(logging.getLogger("stumble.test")))
        deadline = time.monotonic() + 20
        while not sender.unreachable and time.monotonic() < deadline:
            sender.poll(0.1)
        for _ in range(20):
            sender.poll(0.1)
    (message,) = caplog.messages
    assert message.startswith(f"Kafka at {address} cannot be reached (error:")
    assert message.endswith("); events wait in the outboxes.")
    sender.note_answer()
    assert caplog.messages[1:] == ["Kafka accepts events again; delivery continues."]


def test_sender_with_a_fatal_error_is_broken_until_it_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    let_first_producer_fail(monkeypatch, stumble.relay.sender)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", options=MOCK_CLUSTER)
    sender = KafkaSender(settings, StateLog(logging.getLogger("stumble.test")))
    delivered: list[KafkaError | None] = []

    def note(error: KafkaError | None, _: Message) -> None:
        delivered.append(error)

    sender.poll(0.1)
    assert sender.broken
    sender.renew()
    assert not sender.broken
    assert sender.send("topic", FramedRecord(b"key", b"value", []), note) is None
    deadline = time.monotonic() + 30
    while not delivered and time.monotonic() < deadline:
        sender.poll(0.1)
    assert delivered == [None]
