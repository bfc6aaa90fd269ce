"""The relay's Kafka producer, and the meaning of its errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stumble.relay.framing import FramedRecord
from stumble.runtime.error_texts import connection_reason
from stumble.runtime.state_log import StateLog
from stumble.settings.kafka import KafkaSettings
from stumble.signatures.optional import signer_of
from stumble.wire.errors import StumbleError

Delivered = Callable[[KafkaError | None, Message], None]

#: Errors that concern the record itself, so that a retry cannot succeed.
PERMANENT_ERRORS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.RECORD_LIST_TOO_LARGE,
    }
)
_UNREACHABLE = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
#: Errors of one connection, whose texts say why it failed; other brokers may answer.
_OF_ONE_CONNECTION = frozenset({KafkaError._TRANSPORT, KafkaError._AUTHENTICATION, KafkaError._SSL})  # noqa: SLF001
_CLIENT_LOG = logging.getLogger("stumble.relay.librdkafka")
_CLIENT_LOG.setLevel(logging.CRITICAL)  # it repeats each line every second; `error_cb` gets the errors


class KafkaSender:
    """An idempotent producer without delivery timeout: a queued record is never dropped because of its age.

    It signs every record if the settings name a key; raises ``SigningKeyUnusable``.
    """

    def __init__(self, settings: KafkaSettings, state_log: StateLog) -> None:
        self._settings = settings
        self._state_log = state_log
        #: Why the last connection failed, and what was logged since Kafka acknowledged something.
        self._reason = ""
        self._logged: set[str] = set()
        self.unreachable = False
        """Whether Kafka has acknowledged nothing since it did not answer."""
        self._producer = self._make()
        self._single_record_producer: Producer | None = None
        self._signer = signer_of(settings.signing_key_file)
        self.broken = False

    def _make(self, **more: Any) -> Producer:
        config = self._settings.producer_config(
            client_id="stumble-relay",
            linger_ms=5,
            compression_type="zstd",
            queue_buffering_max_messages=200_000,
            queue_buffering_max_kbytes=64 << 10,
            reconnect_backoff_max_ms=5_000,
            topic_metadata_propagation_max_ms=5_000,  # report a missing topic soon; its events wait
            **more,
        )
        # An outage may last days; the relay's read-ahead limits the queue.
        config |= {"message.timeout.ms": 0, "error_cb": self._error, "log_level": 0}
        try:
            return Producer(config, logger=_CLIENT_LOG)
        except KafkaException as error:
            raise StumbleError(f"A setting for Kafka is wrong: {error.args[0].str()}") from error

    def send(self, topic: str, record: FramedRecord, delivered: Delivered, *, alone: bool = False) -> KafkaError | None:
        """Queue a record; return the error if the client itself refuses it.

        ``alone``: in a batch of its own, since a broker rejects a batch as a whole. Raises ``BufferError`` if the queue
        is full.
        """
        headers = record.headers
        if self._signer is not None:
            headers = [*headers, self._signer.header(topic, record.key, record.value, headers)]
        try:
            producer = self._alone() if alone else self._producer
            producer.produce(topic, record.value, record.key, on_delivery=delivered, headers=headers)  # type: ignore[arg-type]
        except KafkaException as error:
            result: KafkaError = error.args[0]
            self._check(result)
            return result
        return None

    def poll(self, seconds: float) -> int:
        """Wait for delivery reports, run their callbacks, and return the number of events served."""
        served = self._poll(self._producer, seconds)
        if self._single_record_producer is not None:
            served += self._poll(self._single_record_producer, 0)
        return served

    def _poll(self, producer: Producer, seconds: float) -> int:
        try:
            return int(producer.poll(seconds))
        except KafkaException as error:  # the client raises a fatal error here instead of passing it to `error_cb`
            self._check(error.args[0])
            if not self.broken:
                raise
            return 1

    def renew(self) -> None:
        """Replace the producer after a fatal error; its queued records were not delivered."""
        for producer in (self._producer, self._single_record_producer):
            if producer is not None:
                producer.purge()
                self._poll(producer, 0)
        self._producer, self._single_record_producer, self.broken = self._make(), None, False

    def _alone(self) -> Producer:
        if self._single_record_producer is None:
            self._single_record_producer = self._make(batch_num_messages=1)
        return self._single_record_producer

    def _check(self, error: KafkaError) -> None:
        if error.fatal():
            self.broken = True

    def _error(self, error: KafkaError) -> None:
        self._check(error)
        code = error.code()
        if code in _OF_ONE_CONNECTION:
            self._reason = connection_reason(error.str())
            if not self.unreachable:
                return  # it counts once the client reports that no broker is left
        elif code not in _UNREACHABLE:
            return
        self.report_unreachable("cannot be reached" + (f" ({self._reason})" if self._reason else ""))

    def report_unreachable(self, fault: str) -> None:
        """Log that Kafka does not answer, unless the same fault was logged since it answered last."""
        self.unreachable = True
        text = f"Kafka at {self._settings.bootstrap_servers} {fault}; events wait in the outboxes."
        if text not in self._logged:  # several brokers may fail for different reasons, in turn
            self._logged.add(text)
            self._state_log.say("kafka", text)

    def note_answer(self) -> None:
        """End the outage, if there is one: Kafka has acknowledged a record."""
        if self.unreachable:
            self.unreachable, self._reason = False, ""
            self._logged.clear()
            self._state_log.over("kafka", "Kafka accepts events again; delivery continues.")


_REASONS = {
    KafkaError._UNKNOWN_TOPIC: "topic {topic} does not exist; create it with: stumble topics apply",  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_OR_PART: "topic {topic} does not exist; create it with: stumble topics apply",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "writing to topic {topic} is not allowed; grant the relay WRITE on it",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "idempotent writing is not allowed; grant the relay IDEMPOTENT_WRITE",
}


def explain_error(error: KafkaError, topic: str) -> str:
    """Return why a record has to wait and, if known, what to do."""
    reason = _REASONS.get(error.code())
    return reason.format(topic=topic) if reason else str(error.str())


def is_permanent(error: KafkaError) -> bool:
    """Return whether the record itself is rejected; after any other error it is sent again."""
    return error.code() in PERMANENT_ERRORS
