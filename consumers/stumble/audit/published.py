"""Compares what was published with the two topics, for as long as these hold it.

A subscriber keeps the record with the highest revision of each subject. So that record must have the revision and the
content of the store's current publication, unless a later publication still waits for the alerter.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg.rows import dict_row

from stumble.alerts.delivery import record_of
from stumble.alerts.publications import StoredPublication
from stumble.audit.offset_range import range_of
from stumble.audit.topic import read_records, wait_for_registry
from stumble.settings.registry import Registry
from stumble.store.json_rows import as_json
from stumble.store.queries import query
from stumble.wire import codec
from stumble.wire.encoder import Encoder
from stumble.wire.errors import RegistryUnavailable, StumbleError, WireError
from stumble.wire.kafka_record import headers_of
from stumble.wire.schemas import ACTION_FAILED, ACTION_OUTCOME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from confluent_kafka import Message
    from psycopg import Connection

    from stumble.audit.offset_range import OffsetRange
    from stumble.audit.report import AuditReport
    from stumble.settings.kafka import KafkaSettings
    from stumble.wire.schemas import Schema

OLDER_THAN_TOPIC = "publications older than the topic that they were sent to"
_UNREADABLE = "records that cannot be read in a topic of publications"
_SUBJECTS = {"failure": "failure_id", "outcome": "request_key"}
_ROWS_PER_STATEMENT = 1000
#: Later than any record, milliseconds.
_EVER_MS = 1 << 62


class PublishedRecords:
    """The records of the two topics, in tables of the audit's session. Call `read`, then `compare` as often as needed.

    The session's copy of the alerter's cursor must be older than the ends of the topics, which `read` asks for.
    """

    def __init__(
        self, connection: Connection[Any], kafka: KafkaSettings, on_progress: Callable[[str, int, int], None]
    ) -> None:
        self._connection = connection
        self._kafka = kafka
        self._on_progress = on_progress
        resolve = Registry(kafka).resolve if kafka.schema_registry_url else None
        topics = kafka.topics
        self._kinds = {
            "failure": _Kind(topics.failures, ACTION_FAILED, codec.Decoder(ACTION_FAILED, resolve)),
            "outcome": _Kind(topics.outcomes, ACTION_OUTCOME, codec.Decoder(ACTION_OUTCOME, resolve)),
        }
        self._records = 0

    def read(self) -> None:
        """Read both topics up to their current ends; a topic that cannot be read is left out of the comparison."""
        for name, kind in self._kinds.items():
            try:
                span = range_of(self._kafka, kind.topic)
            except StumbleError as error:
                kind.left_out = f"topics that cannot be read ({kind.topic}): {error}"
            else:
                self._read_topic(name, kind, span)

    def compare(self, report: AuditReport, days: int) -> None:
        """Add a difference for each subject on which topic and store disagree; `days`: the retention of requests."""
        held_ms = {name: kind.held_ms for name, kind in self._kinds.items()}
        given = {"held_failures_ms": held_ms["failure"], "held_outcomes_ms": held_ms["outcome"], "days": days}
        row = self._connection.execute(query("compare_published"), given).fetchone()
        report.published = self._records
        report.leave_out(OLDER_THAN_TOPIC, row[0] if row else 0)
        for kind in self._kinds.values():
            report.leave_out(_UNREADABLE, kind.unreadable)
            if kind.left_out:
                report.leave_out(kind.left_out)
        differing = [
            publication.subject_id
            for publication, published in self._pairs()
            if self._kinds[publication.kind].digest_of(record_of(publication)) != published
        ]
        if differing:
            self._connection.execute(query("add_different_published"), {"ids": differing})

    def _read_topic(self, name: str, kind: _Kind, span: OffsetRange) -> None:
        oldest: dict[int, int] = {partition: _EVER_MS for partition, low in span.lows.items() if low > 0}
        done = 0
        for messages in read_records(self._kafka, span):
            rows = []
            for message in messages:
                partition, written_ms = message.partition() or 0, message.timestamp()[1]
                if partition in oldest:
                    oldest[partition] = min(oldest[partition], written_ms)
                try:
                    rows.append(kind.row_of(name, message))
                except RegistryUnavailable:
                    raise
                except (WireError, TypeError, ValueError):
                    kind.unreadable += 1
            if rows:
                self._connection.execute(query("add_audit_published"), {"rows": as_json(rows)})
            done += len(messages)
            self._on_progress(f"read from {kind.topic}", done, len(span))
        self._records += done
        kind.held_ms = _EVER_MS if kind.unreadable else max(oldest.values(), default=0)

    def _pairs(self) -> Iterator[tuple[StoredPublication, bytes]]:
        """Yield the store's publications whose revision the topic has, and the digest of the topic's record."""
        with self._connection.cursor(name="published", row_factory=dict_row) as cursor:
            cursor.itersize = _ROWS_PER_STATEMENT
            for row in cursor.execute(query("load_published_pairs")):
                values = {name: _plain(row[name]) for name in StoredPublication._fields}
                yield StoredPublication(**values), row["digest"]


class _Kind:
    """One of the two topics: how its records are read, and how far back it is complete."""

    def __init__(self, topic: str, schema: Schema, decoder: codec.Decoder) -> None:
        self.topic = topic
        self.unreadable = 0
        #: Why the topic is left out.
        self.left_out = ""
        #: The topic holds everything that was published since then, milliseconds since 1970.
        self.held_ms = _EVER_MS
        self._schema = schema
        self._decoder = decoder
        self._encoder = Encoder(json.loads(schema.json))

    def row_of(self, name: str, message: Message) -> dict[str, Any]:
        """Return the row of `audit_published` for a record.

        Raises `WireError`, `TypeError` or `ValueError` if it is not a record of this topic.
        """
        value, headers = message.value() or b"", headers_of(message)
        record = wait_for_registry(lambda: self._decoder.decode(value, headers))
        framed = codec.unframe(value, headers)
        is_current = framed.fingerprint == self._schema.fingerprint
        return {
            "kind": name,
            "subject_id": str(UUID(record[_SUBJECTS[name]])),
            "request_key": str(UUID(record["request_key"])),
            "instance_uuid": str(UUID(record["instance_uuid"])),
            "request_id": record["request_id"],
            "revision": record["revision"],
            "status": record["status"],
            "published_at": record["published_at"],
            "digest": (_digest(framed.body) if is_current else self.digest_of(record)).hex(),
        }

    def digest_of(self, record: dict[str, Any]) -> bytes:
        """Return the digest of a record, which is that of its body in the current schema."""
        return _digest(self._encoder.encode(record))


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
