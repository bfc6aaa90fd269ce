"""Converts an outbox record to a Kafka record: framing, key and headers, without decoding Avro."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from stumble.outbox import OutboxRecord
from stumble.outbox.access import FolderFiles
from stumble.outbox.record import MAX_TEXT
from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry
from stumble.wire.codec import decode_record, frame_confluent, frame_single_object, parse_plain_schema
from stumble.wire.errors import NotAvro, StumbleError
from stumble.wire.headers import record_headers
from stumble.wire.schemas import EVENT, Schema, by_fingerprint, load_schema

_SCHEMA_BYTES = 64 << 10
_MOST_SCHEMAS = 64
_VERSION = re.compile(r"\.v([0-9]{1,4})\.avsc\Z")


class UnknownWriter(StumbleError):
    """A folder has records of a schema that is neither in this release nor in the folder."""


class FramedRecord(NamedTuple):
    """A record ready to be produced."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Framer:
    """Frames with Confluent's framing if a registry is configured, else as Avro single-object encoding."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._registry = Registry(kafka) if kafka.schema_registry_url else None
        self._known: dict[tuple[str, bytes], tuple[Schema, bytes]] = {}
        self._writers: dict[bytes, Any] = {}

    def prefix(self, topic: str, schema: Schema) -> bytes:
        """Return the framing bytes before a body. Raises ``RegistryUnavailable`` or ``SchemaRejected``."""
        if self._registry is None:
            return frame_single_object(schema, b"")
        return frame_confluent(self._registry.register(topic, schema), b"")

    def decode(self, folder: FolderFiles, record: OutboxRecord) -> dict[str, Any]:
        """Return the event of a record of another release's schema. Raises ``NotAvro`` and ``UnknownWriter``."""
        fingerprint = record.envelope.fingerprint
        if fingerprint not in self._writers:
            schema = schema_in(folder, fingerprint)
            if schema.name != EVENT.name:
                raise NotAvro(f"it is a {schema.name}, not an event")
            self._writers[fingerprint] = parse_plain_schema(schema.json)
        return decode_record(EVENT, record.body, self._writers[fingerprint])

    def frame(
        self, topic: str, folder: FolderFiles, record: OutboxRecord, marks: Sequence[tuple[str, bytes]] = ()
    ) -> FramedRecord:
        """Frame an outbox record; ``marks``: headers to add.

        Raises ``UnknownWriter``, ``RegistryUnavailable`` or ``SchemaRejected``.
        """
        fingerprint, occurred_at, event_id, key, source, traceparent, _ = record.envelope
        known = self._known.get((topic, fingerprint))
        if known is None:
            if len(self._known) >= _MOST_SCHEMAS:
                self._known.clear()
                self._writers.clear()
            schema = schema_in(folder, fingerprint)
            known = self._known[topic, fingerprint] = schema, self.prefix(topic, schema)
        schema, prefix = known
        text = event_id.hex()
        headers = record_headers(
            schema,
            source[:MAX_TEXT].decode("utf-8", "replace"),
            f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}",
            occurred_at,
            traceparent[:MAX_TEXT].decode("ascii", "replace") or None,
        )
        headers.extend(marks)
        return FramedRecord(key[:MAX_TEXT], prefix + record.body, headers)


def schema_in(folder: FolderFiles, fingerprint: bytes) -> Schema:
    """Return a schema from this release, else from the folder. Raises ``UnknownWriter``."""
    return by_fingerprint(fingerprint) or _from_folder(fingerprint, folder)


def _from_folder(fingerprint: bytes, folder: FolderFiles) -> Schema:
    """Read the schema that a producer of another release wrote to its folder."""
    for name in folder.names():
        match = _VERSION.search(name)
        if not match or not name.startswith(f"{fingerprint.hex()}."):
            continue
        try:
            schema = load_schema(folder.read(name, _SCHEMA_BYTES).decode(), int(match[1]))
        except Exception as error:  # a producer's folder may contain anything
            raise UnknownWriter(f"{folder.path}/{name} is not a readable schema: {error}.") from error
        if schema.fingerprint == fingerprint:
            return schema
    raise UnknownWriter(f"{folder.path} has records of an unknown schema {fingerprint.hex()}: upgrade the relay.")
