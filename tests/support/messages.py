"""Key, value and headers of records that have them; the types of the Kafka client allow `None` for each."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Message

from stumble.wire.headers import Header


def key_of(message: Message) -> bytes:
    key = message.key()
    assert key is not None
    return key


def value_of(message: Message) -> bytes:
    value = message.value()
    assert value is not None
    return value


def headers_of(message: Message) -> list[Header]:
    headers = message.headers()
    assert isinstance(headers, list)
    return cast("list[Header]", headers)  # the client's type is also that of headers to send, which may be text
