"""Reading a topic again where the schema registry is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from stumble.audit import topic
from stumble.local.ports import free_port
from stumble.settings.kafka import KafkaSettings
from stumble.wire.codec import frame_confluent
from stumble.wire.errors import RegistryUnavailable


def test_a_registry_that_stays_away_is_named_instead_of_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "_PATIENCE", 0.0)
    monkeypatch.setattr(topic, "_REGISTRY_PAUSE", 0.0)
    url = f"http://127.0.0.1:{free_port()}"
    record: dict[str, Any] = {"partition": 0, "offset": 7, "value": frame_confluent(5, b"x"), "headers": None}
    message = SimpleNamespace(**{name: lambda value=value: value for name, value in record.items()})
    decoding = topic.DecodingJob(KafkaSettings(schema_registry_url=url))
    with pytest.raises(RegistryUnavailable, match=f"{url} does not answer"):
        decoding.readings([cast("Any", message)])
