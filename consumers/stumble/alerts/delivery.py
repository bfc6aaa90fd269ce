"""Delivers publications to the two topics, framed as the relay frames events, and waits until the broker has them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from stumble.settings.registry import Registry
from stumble.wire.codec import frame_confluent, frame_single_object
from stumble.wire.encoder import Encoder
from stumble.wire.errors import StumbleError
from stumble.wire.headers import record_headers
from stumble.wire.ids import publication_event_id
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME
from stumble.wire.topics import partition_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

    from stumble.alerts.publications import StoredPublication
    from stumble.settings.kafka import KafkaSettings
    from stumble.wire.schemas import Schema

SOURCE = "stumble-alerter"
_SECONDS = 30.0
_TOPIC_SECONDS = 3.0


class UndeliveredError(StumbleError):
    """The broker did not accept all records: the cursor does not move, and all of them are sent again."""


class TopicPublisher:
    """An idempotent producer for `ActionFailed` and `ActionOutcome`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        topics = kafka.topics
        self._registry = Registry(kafka) if kafka.schema_registry_url else None
        self._kinds = {
            "failure": (topics.failures, ACTION_FAILED, Encoder(json.loads(ACTION_FAILED.json))),
            "outcome": (topics.outcomes, ACTION_OUTCOME, Encoder(json.loads(ACTION_OUTCOME.json))),
        }
        config = kafka.producer_config(linger_ms=5, message_timeout_ms=int(_SECONDS * 1000), compression_type="lz4")
        self._config = {"log_level": 2, **config, "error_cb": self._on_error}
        self._producer = Producer(self._config)
        #: Since when no broker answers a send, monotonic seconds; None while one does, and between sends.
        self._gone_since: float | None = None
        self._topics = TopicCollection([topics.failures, topics.outcomes])
        self._admin = AdminClient({"log_level": 2, **kafka.client_config()})

    def send(self, rows: Sequence[StoredPublication]) -> None:
        """Send rows in their order and wait for the broker; raises `UndeliveredError` or `RegistryUnavailable`."""
        try:
            self._send(rows)
        finally:
            self._gone_since = None  # a standby alerter sends nothing, so it would never learn that a broker answers

    def _send(self, rows: Sequence[StoredPublication]) -> None:
        failed: list[str] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error.str())
            else:
                self._gone_since = None

        try:
            for row in rows:
                self._produce(row, delivered)
                self._producer.poll(0)
        except BufferError as error:
            failed.append(str(error))
        except KafkaException as error:
            failed.append(self._note_error(error))
        left = self._flush(failed)
        if failed or left:
            raise UndeliveredError(
                f"Kafka did not accept {len(failed) + left} records: {(failed or ['no answer'])[0]}."
            )

    def _flush(self, failed: list[str]) -> int:
        """Wait for the broker; return how many records are left, and add an error of the client itself to `failed`."""
        try:
            return self._producer.flush(_SECONDS + 5)
        except KafkaException as error:
            failed.append(self._note_error(error))
            return 0

    def _note_error(self, error: KafkaException) -> str:
        """Return the text of an error; after a fatal one only a new producer can send."""
        if error.args[0].fatal():
            self._producer.purge()
            self._producer = Producer(self._config)
        return str(error.args[0].str())

    def require_topics(self) -> None:
        """Raise `UndeliveredError` unless Kafka answers within a few seconds and has both topics."""
        for name, answer in self._admin.describe_topics(self._topics, request_timeout=_TOPIC_SECONDS).items():
            try:
                answer.result()
            except KafkaException as error:
                reason = error.args[0].str().rstrip(".")
                raise UndeliveredError(
                    f"Kafka does not describe {name} ({reason}): `stumble check brokers topics` shows why."
                ) from error

    def outage_seconds(self) -> float:
        """Return for how long no broker has answered the `send` that another thread is in; 0 if one answers."""
        since = self._gone_since
        return 0.0 if since is None else time.monotonic() - since

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._gone_since is None:
            self._gone_since = time.monotonic()

    def _produce(self, row: StoredPublication, delivered: Any) -> None:
        topic, schema, encoder = self._kinds[row.kind]
        record = record_of(row)
        self._producer.produce(
            topic,
            key=partition_key(record),
            value=self._prefix(topic, schema) + encoder.encode(record),
            headers=list(
                record_headers(schema, SOURCE, publication_event_id(row.subject_id, row.revision), row.created_us)
            ),
            on_delivery=delivered,
        )

    def _prefix(self, topic: str, schema: Schema) -> bytes:
        if self._registry is None:
            return frame_single_object(schema, b"")
        return frame_confluent(self._registry.register(topic, schema), b"")


def record_of(row: StoredPublication) -> dict[str, Any]:
    """Return the record of one revision: the same at every delivery."""
    subject = "failure_id" if row.kind == "failure" else "request_key"
    return {
        **row.payload,
        "request_key": row.request_key,
        subject: row.subject_id,
        "instance_uuid": row.instance_uuid,
        "revision": row.revision,
        "correction": row.correction,
        "status": row.status,
        "replaced_by": row.replaced_by,
        "published_at": row.created_us,
    }
