"""Messages for the operator when Kafka does not answer a request about a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

    from stumble.settings.kafka import KafkaSettings

_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)  # noqa: SLF001
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
#: librdkafka's codes for unreachable brokers, whatever the cause is.
_UNREACHABLE = (
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
)


def kafka_error(kafka: KafkaSettings, topic: str, error: KafkaException) -> StumbleError:
    """Return the error to raise for an error of a request about a topic; its text says what to do."""
    inner = error.args[0]
    if inner.code() in _NO_TOPIC:
        return StumbleError(
            f"Topic {topic} does not exist: create it with `stumble topics apply`, or check "
            "STUMBLE_KAFKA__TOPIC_PREFIX."
        )
    if inner.code() in _DENIED:
        return StumbleError(
            f"Kafka does not permit this principal to read {topic}, if it exists: grant it the rights of its role with "
            "`stumble topics apply --grant ROLE=User:NAME`; `stumble check rights` shows which are missing."
        )
    if inner.code() in _UNREACHABLE:
        return StumbleError(
            f"Kafka at {kafka.bootstrap_servers} does not answer: start it or set STUMBLE_KAFKA__BOOTSTRAP_SERVERS; "
            "`stumble check brokers` shows why."
        )
    return StumbleError(f"Kafka cannot describe {topic}: {inner.str()}; run `stumble check brokers rights`.")
