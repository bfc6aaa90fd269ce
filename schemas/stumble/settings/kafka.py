"""Connection to Kafka: librdkafka's own settings, except those that the contract fixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from stumble.wire.topics import Topics

#: Part of the contract (one partition per instance, no loss, no reordering), so not configurable.
FIXED_PRODUCER: dict[str, Any] = {
    "partitioner": "murmur2_random",  # the default of Java clients, which use the same topics
    "acks": "all",
    "enable.idempotence": True,
}
#: The store holds the offsets; an offset that no longer exists must stop the reader: it must not skip silently.
FIXED_CONSUMER: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
}
_ALIASES = {"request.required.acks", "bootstrap.servers", "metadata.broker.list"}


class KafkaSettings(BaseModel):
    """Connection to Kafka. ``options`` accepts every setting of librdkafka."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Brokers, host:port, separated by commas.")
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$", description="Put before the name of every topic.")
    schema_registry_url: str | None = Field(
        None,
        description="Registry with Confluent's API. Without one, records use Avro single-object encoding.",
    )
    schema_registry_user: str | None = Field(None, description="User of the registry, for basic authentication.")
    schema_registry_password: SecretStr | None = Field(None, description="Password of the registry.")
    topic_partitions: int = Field(12, ge=1, description="Planned partitions of the topics that projectors share.")
    topic_replication: int = Field(
        1, ge=1, description="Planned copies of each partition; from 3 on two must be in sync."
    )
    topic_days: int = Field(
        90,
        ge=1,
        le=36_500,
        description="Planned retention of instance-actions in days: how far back the store can be rebuilt.",
    )
    principals: dict[str, str] = Field(
        default_factory=dict,
        description='Kafka principal of each role: {"relay": "User:stumble-relay", "projector": "User:stumble"}.',
    )
    signing_key_file: Path | None = Field(
        None,
        description="File with the private key with which the relay signs every record; none: records are not signed.",
    )
    public_keys_file: Path | None = Field(
        None,
        description="File with the public keys with which consumers verify every record; none: they accept all.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,  # passwords may be among them
        description="Settings of librdkafka for every client (security.protocol, sasl.mechanism, ssl.ca.location ...).",
    )
    producer_options: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="The same, for producers only."
    )
    consumer_options: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="The same, for consumers only."
    )

    @field_validator("options", "producer_options", "consumer_options")
    @classmethod
    def _fixed_stay_fixed(cls, value: dict[str, Any]) -> dict[str, Any]:
        refused = sorted(value.keys() & (FIXED_PRODUCER.keys() | FIXED_CONSUMER.keys() | _ALIASES))
        if refused:
            raise ValueError(f"{', '.join(refused)} cannot be set here: stumble sets it; remove it")
        return value

    @property
    def topics(self) -> Topics:
        """Topic names with this prefix."""
        return Topics(self.topic_prefix)

    def client_config(self) -> dict[str, Any]:
        """Return the configuration that all clients share."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.options}

    def producer_config(self, **defaults: Any) -> dict[str, Any]:
        """Return a producer's configuration; ``defaults`` (with ``_`` for ``.``) apply unless the options set them."""
        return {**_dotted(defaults), **self.client_config(), **self.producer_options, **FIXED_PRODUCER}

    def consumer_config(self, group: str, **defaults: Any) -> dict[str, Any]:
        """Return a consumer's configuration; ``defaults`` (with ``_`` for ``.``) apply unless the options set them."""
        own = {**_dotted(defaults), **self.client_config(), **self.consumer_options}
        return {"group.id": group, **own, **FIXED_CONSUMER}


def _dotted(values: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in values.items()}
