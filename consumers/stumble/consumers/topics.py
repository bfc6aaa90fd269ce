"""The topics, each with partitions, retention and clean-up that fit its use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from stumble.consumers.dlq import MAX_MESSAGE_BYTES
from stumble.schemas.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stumble.schemas.models.kafka import KafkaSettings

_DAY_MS = 86_400_000
_SECONDS = 30.0


def apply(kafka: KafkaSettings, *, partitions: int, replication: int) -> Iterator[tuple[str, str]]:
    """Create the missing topics; yields each topic's name and what became of it.

    Raises `StumbleError` when the broker refuses one or doesn't answer.
    """
    client = AdminClient(kafka.client_config())
    wanted = [NewTopic(name, count, replication, config=config) for name, count, config in _wanted(kafka, partitions)]
    for name, future in client.create_topics(wanted, request_timeout=_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code != KafkaError.TOPIC_ALREADY_EXISTS:
                raise StumbleError(
                    f"The topic {name} can't be created: {error.args[0].str()}; "
                    "check STUMBLE_KAFKA__BOOTSTRAP_SERVERS and that the broker allows it."
                ) from error
            yield name, "is there"
        else:
            yield name, "created"


def _wanted(kafka: KafkaSettings, partitions: int) -> list[tuple[str, int, dict[str, str]]]:
    """Return name, partitions and settings of each topic."""
    topics = kafka.topics
    history = {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)}
    return [
        # What the store can be rebuilt from: kept long; events are small, tracebacks bounded.
        (topics.actions, partitions, {**history, "retention.ms": str(90 * _DAY_MS)}),
        (topics.failures, partitions, history),
        (topics.outcomes, partitions, history),
        (topics.producers, 1, {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}),
        # A bad record and the headers that explain it are larger than the record was.
        (topics.dlq, 1, {**history, "retention.ms": str(90 * _DAY_MS), "max.message.bytes": str(MAX_MESSAGE_BYTES)}),
    ]
