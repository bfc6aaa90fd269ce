"""What a person is told where Kafka does not say what was asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

    from stumble.settings.kafka import KafkaSettings

_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)  # noqa: SLF001
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
#: So it looks from outside, whatever keeps us from the brokers.
_AWAY = (
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
)


def kafka_error(kafka: KafkaSettings, topic: str, error: KafkaException) -> StumbleError:
    """Return one sentence with what to do about an error that was met when a topic was asked about."""
    inner = error.args[0]
    if inner.code() in _NO_TOPIC:
        return StumbleError(
            f"There is no topic {topic}: create it by `stumble topics apply`, or check STUMBLE_KAFKA__TOPIC_PREFIX."
        )
    if inner.code() in _DENIED:
        return StumbleError(
            f"Kafka does not let this principal look at {topic}, if it is there: grant it the rights of its role by "
            "`stumble topics apply --grant ROLE=User:NAME`; `stumble check rights` says what it lacks."
        )
    if inner.code() in _AWAY:
        return StumbleError(
            f"Kafka at {kafka.bootstrap_servers} does not answer: start it or set STUMBLE_KAFKA__BOOTSTRAP_SERVERS; "
            "`stumble check brokers` says why."
        )
    return StumbleError(f"Kafka can't say what {topic} holds: {inner.str()}; see `stumble check brokers rights`.")
