"""A Kafka producer with a fatal error, as the client reports it: it raises, and does not call `error_cb`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

#: Options of a client that is its own cluster.
MOCK_CLUSTER = {"test.mock.num.brokers": "1"}


class FatalProducer(Producer):
    """A producer of which nothing is delivered: `poll` and `flush` raise, once each time, until it is replaced."""

    def poll(self, *_: Any, **__: Any) -> int:
        raise KafkaException(KafkaError(KafkaError._FATAL, "out of sequence", fatal=True))  # noqa: SLF001

    flush = poll


def let_first_producer_fail(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Let the first producer that a module makes have a fatal error."""
    classes = iter([FatalProducer])

    def make(*arguments: Any, **named: Any) -> Producer:
        return next(classes, Producer)(*arguments, **named)

    monkeypatch.setattr(module, "Producer", make)
