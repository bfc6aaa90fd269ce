"""Decoding records of a topic while the schema registry is unavailable."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from stumble.audit.topic import DecodingJob
from stumble.local.ports import free_port
from stumble.settings.kafka import KafkaSettings
from stumble.wire.codec import frame_confluent
from stumble.wire.errors import RegistryUnavailable


def test_registry_that_stays_unavailable_raises_an_error_that_names_it() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    record: dict[str, Any] = {"partition": 0, "offset": 7, "value": frame_confluent(5, b"x"), "headers": None}
    message = SimpleNamespace(**{name: lambda value=value: value for name, value in record.items()})
    decoding = DecodingJob(KafkaSettings(schema_registry_url=url), registry_timeout=0, registry_pause=0)
    with pytest.raises(RegistryUnavailable, match=f"{url} does not answer"):
        decoding.readings([cast("Any", message)])
