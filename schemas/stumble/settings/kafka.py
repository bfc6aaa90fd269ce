"""How to reach Kafka: librdkafka's own settings, but those that the contract fixes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from stumble.wire.topics import Topics

#: Part of the contract (one instance, one partition; nothing lost, nothing reordered), so not configurable.
FIXED_PRODUCER: dict[str, Any] = {
    "partitioner": "murmur2_random",  # what Java clients use: they share the topics
    "acks": "all",
    "enable.idempotence": True,
}
#: Offsets are the store's; a position that is gone must stop the reader, never skip silently.
FIXED_CONSUMER: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
}
_ALIASES = {"request.required.acks", "bootstrap.servers", "metadata.broker.list"}


class KafkaSettings(BaseModel):
    """Connection to Kafka. Everything librdkafka knows can go into ``options``."""

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
        90, ge=1, le=36_500, description="Planned retention of instance-actions: for so long the store can be rebuilt."
    )
    principals: dict[str, str] = Field(
        default_factory=dict,
        description='Who each role is to an authorizer: {"relay": "User:stumble-relay", "projector": "User:stumble"}.',
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
            raise ValueError(f"{', '.join(refused)} can't be set: the contract fixes it; take it out")
        return value

    @property
    def topics(self) -> Topics:
        """The topics under this prefix."""
        return Topics(self.topic_prefix)

    def client_config(self) -> dict[str, Any]:
        """Return what every client of librdkafka needs."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.options}

    def producer_config(self, **defaults: Any) -> dict[str, Any]:
        """Return a producer's configuration; ``defaults`` (with ``_`` for ``.``) give way to the options."""
        return {**_dotted(defaults), **self.client_config(), **self.producer_options, **FIXED_PRODUCER}

    def consumer_config(self, group: str, **defaults: Any) -> dict[str, Any]:
        """Return a consumer's configuration; ``defaults`` (with ``_`` for ``.``) give way to the options."""
        own = {**_dotted(defaults), **self.client_config(), **self.consumer_options}
        return {"group.id": group, **own, **FIXED_CONSUMER}


def _dotted(values: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in values.items()}
