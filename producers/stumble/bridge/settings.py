"""Settings of the bridge: any number of transports, each with its cell and region (cells notify separately)."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from stumble.runtime.error_texts import first_mistake, sentence_about
from stumble.settings.base import CONFIG_VARIABLE, Settings, SettingsError, load_settings

RABBIT_SCHEMES = ("rabbit", "kombu+amqp")
KAFKA_SCHEME = "kafka"
#: Nova's own topics: legacy and versioned notifications (oslo.messaging, [notifications] of nova.conf).
DEFAULT_TOPICS = ("notifications", "versioned_notifications")


class TransportSettings(BaseModel):
    """Source of the notifications of one cell."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Name of the transport, in logs and metrics.")
    url: SecretStr = Field(description="rabbit://user:password@host:5672/vhost or kafka://host:9092/vhost.")
    topics: tuple[str, ...] = Field(DEFAULT_TOPICS, min_length=1, description="Notification topics.")
    exchange: str = Field("nova", description="Control exchange of Nova (RabbitMQ only).")
    pool: str = Field(
        "stumble",
        description="Name of the bridge's own queues or consumer group; other consumers still get every message.",
    )
    cell: str | None = Field(None, description="Nova cell of these notifications.")
    region: str | None = Field(None, description="Keystone region of the cell.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="oslo.messaging's options of [oslo_messaging_rabbit], or librdkafka's.",
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in (*RABBIT_SCHEMES, KAFKA_SCHEME):
            raise ValueError("it must start with rabbit:// or kafka://")
        return value

    @property
    def is_kafka(self) -> bool:
        """Whether the transport is Kafka; else RabbitMQ."""
        return urlsplit(self.url.get_secret_value()).scheme == KAFKA_SCHEME


class BridgeSettings(BaseModel):
    """All transports of a bridge."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    transports: tuple[TransportSettings, ...] = Field((), description="Sources of notifications.")
    tracebacks: bool = Field(True, description="Whether tracebacks of exceptions may leave this host.")

    @model_validator(mode="after")
    def _names_differ(self) -> BridgeSettings:
        names = [item.name for item in self.transports]
        if len(set(names)) < len(names):
            raise ValueError("two transports have the same name; give each its own")
        return self


def load_bridge_settings(
    transports: list[dict[str, Any]] | None = None, **overrides: object
) -> tuple[Settings, BridgeSettings]:
    """Read the settings of the bridge: the common ones, and ``transports`` or, without them, ``[bridge]`` of the file.

    Raises ``SettingsError``, whose text is one sentence.
    """
    settings = load_settings(**overrides)
    path = os.environ.get(CONFIG_VARIABLE)
    table: dict[str, Any] = {"transports": transports} if transports else {}
    if not table and path:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("bridge", {})
    try:
        return settings, BridgeSettings.model_validate(table)
    except ValidationError as error:
        name, reason = first_mistake(error)
        raise SettingsError(sentence_about(f"The setting {'.'.join(filter(None, ('bridge', name)))}", reason)) from None
