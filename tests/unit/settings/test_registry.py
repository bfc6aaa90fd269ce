"""The registry client: which answers are retried."""

from __future__ import annotations

import httpx
import pytest

from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry, SchemaRejected
from stumble.wire.schemas import EVENT


def registry(*answers: httpx.Response) -> Registry:
    remaining = list(answers)
    client = httpx.Client(transport=httpx.MockTransport(lambda _: remaining.pop(0)))
    return Registry(KafkaSettings(schema_registry_url="http://registry.example"), client)


def test_concurrent_registration_is_retried_and_returns_the_id() -> None:
    conflict = httpx.Response(409, json={"message": "An artifact with ID 'x-value' already exists."})
    assert registry(conflict, httpx.Response(200, json={"id": 7})).register("x", EVENT) == 7


def test_incompatible_schema_is_rejected() -> None:
    refused = [httpx.Response(409, json={"message": "Incompatible"}) for _ in range(2)]
    with pytest.raises(SchemaRejected, match="Incompatible"):
        registry(*refused).register("x", EVENT)
