"""Messages for the operator when Kafka does not answer a request about a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

    from stumble.settings.kafka import KafkaSettings

_NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)  # noqa: SLF001
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
#: A batch whose checksum, compression, format or content is wrong: the client cannot read it at any time.
DAMAGED_BATCH: Final = (
    KafkaError._BAD_MSG,  # noqa: SLF001
    KafkaError._BAD_COMPRESSION,  # noqa: SLF001
    KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
)
#: The broker refuses an offset.
OUT_OF_RANGE: Final = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_TRUNCATION_TEXT = KafkaError(KafkaError._LOG_TRUNCATION).str()  # noqa: SLF001
#: librdkafka's codes for unreachable brokers, whatever the cause is.
_UNREACHABLE = (
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
)


def is_log_truncation(error: KafkaError) -> bool:
    """Whether the client refuses an offset because the partition was truncated before it (KIP-320).

    The client reports every offset that it cannot read from with one code, and gives the cause as text only.
    """
    return error.code() in OUT_OF_RANGE and _TRUNCATION_TEXT in error.str()


def client_text(error: KafkaError) -> str:
    """Return an error's code and text in the client's own words."""
    return f"{error.name()}: {error.str()}"


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
    if inner.code() in DAMAGED_BATCH:
        return StumbleError(
            f"The broker holds a damaged batch of {topic} ({client_text(inner)}): `kafka-dump-log.sh` shows it; "
            "restore it from another replica."
        )
    if inner.code() in _UNREACHABLE:
        return StumbleError(
            f"Kafka at {kafka.bootstrap_servers} does not answer: start it or set STUMBLE_KAFKA__BOOTSTRAP_SERVERS; "
            "`stumble check brokers` shows why."
        )
    return StumbleError(f"Kafka cannot describe {topic}: {inner.str()}; run `stumble check brokers rights`.")
