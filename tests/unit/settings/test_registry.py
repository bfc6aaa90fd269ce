"""The registry client: which answers are retried."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry, SchemaRejected
from stumble.wire.schemas import EVENT


def answer(status: int, body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(json.dumps(body).encode()))


def registry(*answers: httpx.Response) -> Registry:
    remaining = list(answers)
    transport = httpx.MockTransport(lambda _: remaining.pop(0))
    return Registry(KafkaSettings(schema_registry_url="http://registry.example"), transport)


def test_concurrent_registration_is_retried_and_returns_the_id() -> None:
    conflict = answer(409, {"message": "An artifact with ID 'x-value' already exists."})
    assert registry(conflict, answer(200, {"id": 7})).register("x", EVENT) == 7


def test_incompatible_schema_is_rejected() -> None:
    refused = [answer(409, {"message": "Incompatible"}) for _ in range(2)]
    with pytest.raises(SchemaRejected, match="Incompatible"):
        registry(*refused).register("x", EVENT)


def test_schemas_of_one_fingerprint_and_two_texts_have_two_ids() -> None:
    client = registry(answer(200, {"id": 7}), answer(200, {"id": 8}))
    other = replace(EVENT, json=EVENT.json + " ")
    assert [client.register("x", schema) for schema in (EVENT, other, EVENT)] == [7, 8, 7]
