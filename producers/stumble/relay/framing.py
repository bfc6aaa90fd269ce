"""Converts an outbox record to a Kafka record (framing, key and headers), and reads the schemas of other releases."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stumble.outbox import OutboxRecord
from stumble.outbox.access import FolderFiles
from stumble.outbox.record import MAX_TEXT
from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry
from stumble.wire.codec import decode_record, frame_confluent, frame_single_object
from stumble.wire.errors import NotAvro, StumbleError, UnsupportedSchema
from stumble.wire.headers import record_headers
from stumble.wire.schemas import EVENT, MAX_SCHEMA_LENGTH, Schema, by_fingerprint, load_schema
from stumble.wire.writer_schema import WriterSchema, parse_writer_schema

#: Schemas of other releases for each user: usually none, and one after an upgrade.
_MOST_SCHEMAS = 16
_VERSION = re.compile(r"\.v([0-9]{1,4})\.avsc\Z")


class UnknownWriter(StumbleError):
    """A folder has records of a schema that is neither in this release nor in the folder."""


class FramedRecord(NamedTuple):
    """A record ready to be produced."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Framer:
    """Frames with Confluent's framing if a registry is configured, else as Avro single-object encoding.

    ``on_lost_schema`` is called when the registry no longer has a schema of records that were sent.
    """

    def __init__(self, kafka: KafkaSettings, on_lost_schema: Callable[[], None] = lambda: None) -> None:
        self._registry = Registry(kafka, on_lost_schema=on_lost_schema) if kafka.schema_registry_url else None
        self._schemas: dict[int, ForeignSchemas] = {}

    def prefix(self, topic: str, schema: Schema) -> bytes:
        """Return the framing bytes before a body. Raises ``RegistryUnavailable`` or ``SchemaRejected``."""
        if self._registry is None:
            return frame_single_object(schema, b"")
        return frame_confluent(self._registry.register(topic, schema), b"")

    def decode(self, folder: FolderFiles, record: OutboxRecord) -> dict[str, Any]:
        """Return the event of a record of another release's schema. Raises ``NotAvro`` and ``UnknownWriter``."""
        return decode_record(EVENT, record.body, self._schemas_of(folder).load(folder, record.envelope.fingerprint))

    def frame(
        self, topic: str, folder: FolderFiles, record: OutboxRecord, marks: Sequence[tuple[str, bytes]] = ()
    ) -> FramedRecord:
        """Frame an outbox record; ``marks``: headers to add.

        If its schema is not ``EVENT``, `decode` must have read a record of the same schema before.
        Raises ``UnknownWriter``, ``RegistryUnavailable`` or ``SchemaRejected``.
        """
        fingerprint, occurred_at, event_id, key, source, traceparent, _ = record.envelope
        schema = EVENT
        if fingerprint != EVENT.fingerprint:
            schema = self._schemas_of(folder).loaded(folder, fingerprint)
        prefix = self.prefix(topic, schema)
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

    def _schemas_of(self, folder: FolderFiles) -> ForeignSchemas:
        return self._schemas.setdefault(folder.owner(), ForeignSchemas())


class ForeignSchemas:
    """The schemas of other releases in the folders of one user. Each is read once.

    The fingerprint alone does not identify a schema, since CRC-64 is linear: its writer can make two schemas that have
    the same fingerprint and the fields in another order. Therefore the relay checks and sends a record with the same
    schema, which stays in memory while the relay runs.
    """

    def __init__(self) -> None:
        self._read: dict[bytes, tuple[Schema, WriterSchema] | NotAvro] = {}

    def load(self, folder: FolderFiles, fingerprint: bytes) -> WriterSchema:
        """Return the parsed schema for decoding. Raises ``NotAvro`` if it is no event's, and ``UnknownWriter``."""
        if fingerprint not in self._read:
            if len(self._read) >= _MOST_SCHEMAS:
                raise _too_many(folder)
            try:
                schema = _event_schema_in(folder, fingerprint)
                self._read[fingerprint] = schema, parse_writer_schema(schema.json, EVENT)
            except NotAvro as error:
                self._read[fingerprint] = error
            except UnsupportedSchema as error:
                self._read[fingerprint] = NotAvro(f"the relay does not support its schema: {error}")
        entry = self._read[fingerprint]
        if isinstance(entry, NotAvro):
            raise entry.with_traceback(None)
        return entry[1]

    def loaded(self, folder: FolderFiles, fingerprint: bytes) -> Schema:
        """Return a schema that `load` has read. Raises ``UnknownWriter`` if it has not."""
        entry = self._read.get(fingerprint)
        if not isinstance(entry, tuple):
            raise (
                _too_many(folder)
                if len(self._read) >= _MOST_SCHEMAS
                else UnknownWriter(f"{folder.path} has records whose schema was not checked.")
            )
        return entry[0]


def _event_schema_in(folder: FolderFiles, fingerprint: bytes) -> Schema:
    schema = schema_in(folder, fingerprint)
    if schema.name != EVENT.name:
        raise NotAvro(f"it is a {schema.name}, not an event")
    return schema


def _too_many(folder: FolderFiles) -> UnknownWriter:
    return UnknownWriter(
        f"{folder.path} has records of an unknown schema, and its user has {_MOST_SCHEMAS} others: restart the relay."
    )


def schema_in(folder: FolderFiles, fingerprint: bytes) -> Schema:
    """Return a schema from this release, else from the folder. Raises ``UnknownWriter`` and ``NotAvro``."""
    return by_fingerprint(fingerprint) or _from_folder(fingerprint, folder)


def _from_folder(fingerprint: bytes, folder: FolderFiles) -> Schema:
    """Read the schema that a producer of another release wrote to its folder."""
    for name in folder.names():
        match = _VERSION.search(name)
        if not match or not name.startswith(f"{fingerprint.hex()}."):
            continue
        try:
            schema = load_schema(folder.read(name, MAX_SCHEMA_LENGTH + 1).decode(), int(match[1]))
        except UnsupportedSchema as error:
            raise NotAvro(f"the relay does not support the schema {name}: {error}") from error
        except Exception as error:  # a producer's folder may contain anything
            raise UnknownWriter(f"{folder.path}/{name} is not a readable schema: {error}.") from error
        if schema.fingerprint == fingerprint:
            return schema
    raise UnknownWriter(f"{folder.path} has records of an unknown schema {fingerprint.hex()}: upgrade the relay.")
