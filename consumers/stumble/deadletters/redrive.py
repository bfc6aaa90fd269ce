"""Sends dead letters again, unchanged, to their original topic and partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Producer

from stumble.deadletters.producer import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

    from stumble.deadletters.dead_letter import DeadLetter, RecordId
    from stumble.settings.kafka import KafkaSettings

_DELIVERY_SECONDS = 15.0


class Redriver:
    """A producer for the topic that the projector reads, which has `partitions`."""

    def __init__(self, kafka: KafkaSettings, partitions: int) -> None:
        self._partitions = partitions
        config = kafka.producer_config(
            linger_ms=5, message_max_bytes=MAX_MESSAGE_BYTES, message_timeout_ms=int(_DELIVERY_SECONDS * 1000)
        )
        self._producer = Producer({**config, "log_level": 0})

    def send(self, dead_letters: Sequence[DeadLetter]) -> dict[RecordId, str]:
        """Send records and wait for the broker; return the reason, by position, for each that it did not accept."""
        failed = self._try(dead_letters)
        # A record that is too large also fails the other records of its request: send each of them alone.
        alone = (
            [dead_letter for dead_letter in dead_letters if dead_letter.record_id in failed]
            if len(dead_letters) > 1
            else []
        )
        for dead_letter in alone:
            if failed[dead_letter.record_id].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                failed.pop(dead_letter.record_id)
                failed.update(self._try([dead_letter]))
        return {record_id: error.str() for record_id, error in failed.items()}

    def _try(self, dead_letters: Sequence[DeadLetter]) -> dict[RecordId, KafkaError]:
        undelivered = {dead_letter.record_id: KafkaError(KafkaError._MSG_TIMED_OUT) for dead_letter in dead_letters}  # noqa: SLF001
        for dead_letter in dead_letters:
            self._produce(dead_letter, undelivered)
        self._producer.flush(_DELIVERY_SECONDS + 2)
        return dict(undelivered)

    def _produce(self, dead_letter: DeadLetter, undelivered: dict[RecordId, KafkaError]) -> None:
        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is None:
                undelivered.pop(dead_letter.record_id, None)
            else:
                undelivered[dead_letter.record_id] = error

        origin = dead_letter.origin
        if origin is None:
            return
        try:
            # To its original partition, unless the topic was created again with fewer. The broker gives it a new time.
            self._producer.produce(
                origin.topic,
                value=dead_letter.value,
                key=dead_letter.key,
                headers=list(dead_letter.headers_again()),
                on_delivery=delivered,
                partition=origin.partition if origin.partition < self._partitions else -1,
            )
        except KafkaException as error:
            undelivered[dead_letter.record_id] = error.args[0]
