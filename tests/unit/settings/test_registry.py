"""The registry's client: what one answer is no reason to give up."""

from __future__ import annotations

import httpx
import pytest

from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry, SchemaRejected
from stumble.wire.schemas import EVENT


def registry(*answers: httpx.Response) -> Registry:
    left = list(answers)
    client = httpx.Client(transport=httpx.MockTransport(lambda _: left.pop(0)))
    return Registry(KafkaSettings(schema_registry_url="http://registry.example"), client)


def test_two_that_register_at_once_both_get_the_id() -> None:
    taken = httpx.Response(409, json={"message": "An artifact with ID 'x-value' already exists."})
    assert registry(taken, httpx.Response(200, json={"id": 7})).register("x", EVENT) == 7


def test_a_schema_that_does_not_fit_is_refused() -> None:
    refused = [httpx.Response(409, json={"message": "Incompatible"}) for _ in range(2)]
    with pytest.raises(SchemaRejected, match="Incompatible"):
        registry(*refused).register("x", EVENT)
