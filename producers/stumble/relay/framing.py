"""Converts an outbox record to a Kafka record: framing, key and headers, without decoding Avro."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from stumble.outbox import OutboxRecord
from stumble.settings.kafka import KafkaSettings
from stumble.settings.registry import Registry
from stumble.wire.codec import frame_confluent, frame_single_object
from stumble.wire.errors import StumbleError
from stumble.wire.headers import record_headers
from stumble.wire.schemas import Schema, by_fingerprint, load_schema

_VERSION = re.compile(r"\.v(\d+)\.avsc\Z")


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

    def prefix(self, topic: str, schema: Schema) -> bytes:
        """Return the framing bytes before a body. Raises ``RegistryUnavailable`` or ``SchemaRejected``."""
        if self._registry is None:
            return frame_single_object(schema, b"")
        return frame_confluent(self._registry.register(topic, schema), b"")

    def frame(self, topic: str, folder: str, record: OutboxRecord) -> FramedRecord:
        """Frame an outbox record. Raises ``UnknownWriter``, ``RegistryUnavailable`` or ``SchemaRejected``."""
        fingerprint, occurred_at, event_id, key, source, traceparent, _ = record.envelope
        known = self._known.get((topic, fingerprint))
        if known is None:
            schema = schema_in(folder, fingerprint)
            known = self._known[topic, fingerprint] = schema, self.prefix(topic, schema)
        schema, prefix = known
        text = event_id.hex()
        headers = record_headers(
            schema,
            source.decode("utf-8", "replace"),
            f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}",
            occurred_at,
            traceparent.decode("ascii", "replace") or None,
        )
        return FramedRecord(key, prefix + record.body, headers)


def schema_in(folder: str, fingerprint: bytes) -> Schema:
    """Return a schema from this release, else from the folder. Raises ``UnknownWriter``."""
    return by_fingerprint(fingerprint) or _from_folder(fingerprint, folder)


def _from_folder(fingerprint: bytes, folder: str) -> Schema:
    """Read the schema that a producer of another release wrote to its folder."""
    for path in Path(folder).glob(f"{fingerprint.hex()}.v*.avsc"):
        match = _VERSION.search(path.name)
        try:
            schema = load_schema(path.read_text("utf-8"), int(match[1]) if match else 0)
        except Exception as error:  # a producer's folder may contain anything
            raise UnknownWriter(f"{path} is not a readable schema: {error}.") from error
        if schema.fingerprint == fingerprint:
            return schema
    raise UnknownWriter(f"{folder} has records of an unknown schema {fingerprint.hex()}: upgrade the relay.")
