"""Encoding of record bodies, and the two framings: Confluent and Avro single-object.

Hot paths work on plain dicts: times are integers of UTC microseconds, enums are their symbols. The schemas are
therefore parsed a second time without logical types; the bytes are the same.
"""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from fastavro import schemaless_reader

from stumble.wire.encoder import Encoder
from stumble.wire.errors import NotAvro, RegistryUnavailable, UnknownSchema, UnsupportedSchema, WireError
from stumble.wire.headers import Header, fingerprint_of
from stumble.wire.limits import limit_check
from stumble.wire.schemas import ALL, Schema, by_fingerprint
from stumble.wire.writer_schema import WriterSchema, parse_plain_schema, parse_writer_schema

CONFLUENT_MAGIC = b"\x00"
SINGLE_OBJECT_MAGIC = b"\xc3\x01"
#: Most bytes of a record's body: five times what all texts of an event have together when each has its maximum.
MAX_BODY_BYTES = 256 << 10
_CONFLUENT = struct.Struct(">bI")
_SHOWN = 300
#: Seconds after which a schema id is asked for again, since a registry that lost its schemas gives ids to others; and
#: after which that is tried again.
_ASK_AGAIN_SECONDS, _TRY_AGAIN_SECONDS = 600.0, 60.0


class Unframed(NamedTuple):
    """A record's body, and the writer's schema as far as the framing identifies it."""

    fingerprint: bytes | None
    schema_id: int | None
    body: bytes


_PLAIN = {schema.fingerprint: parse_plain_schema(schema.json) for schema in ALL}


_ENCODERS = {schema.fingerprint: Encoder(json.loads(schema.json)) for schema in ALL}
_EXCEEDS = {schema.fingerprint: limit_check(json.loads(schema.json)) for schema in ALL}


def encode_record(schema: Schema, record: Mapping[str, Any]) -> bytes:
    """Return a record's Avro body without framing, text cleaned and cut to the limits in the schema.

    Raises ``TypeError``, ``ValueError`` or ``AttributeError`` if a value has another type than its field.
    """
    return _ENCODERS[schema.fingerprint].encode(record)


def decode_record(schema: Schema, body: bytes, writer: WriterSchema | None = None) -> dict[str, Any]:
    """Return the record in ``body`` with its texts cut to the limits in the schema.

    ``writer`` is the schema that wrote it, if it is not ``schema``. Raises ``NotAvro`` if the bytes are not
    exactly one record of the writer's schema, or more than ``MAX_BODY_BYTES``.
    """
    return bound_texts(schema, read_record(schema, body, writer))


def bound_texts(schema: Schema, record: dict[str, Any]) -> dict[str, Any]:
    """Return ``record`` itself if its texts are within the limits in the schema, else a copy with its texts cut."""
    if not _EXCEEDS[schema.fingerprint](record):
        return record
    return read_record(schema, encode_record(schema, record))


def read_record(schema: Schema, body: bytes, writer: WriterSchema | None = None) -> dict[str, Any]:
    """Do what ``decode_record`` does, but leave texts as the writer wrote them, however long."""
    if len(body) > MAX_BODY_BYTES:
        raise NotAvro(f"The record has {len(body)} bytes, more than the {MAX_BODY_BYTES} that one may have.")
    reader = _PLAIN[schema.fingerprint]
    source = io.BytesIO(body)
    try:
        record = schemaless_reader(source, *((reader, None) if writer is None else (writer.parsed, reader)))
    except Exception as error:  # fastavro raises many types, depending on the bytes: EOF, Unicode, index, overflow ...
        text = str(error)[:_SHOWN]  # it may contain a whole schema
        raise NotAvro(f"{len(body)} bytes do not decode as {schema.name}: {type(error).__name__}: {text}") from error
    if source.tell() != len(body):
        raise NotAvro(f"{len(body) - source.tell()} bytes follow after a complete {schema.name}.")
    if not isinstance(record, dict):
        raise NotAvro(f"The bytes do not decode to a valid {schema.name}.")
    for conversion in writer.conversions if writer else ():
        conversion.apply(record)
    return record


def read_host(body: bytes) -> str | None:
    """Return the host of an event with this release's schema, which takes a small part of the time of decoding.

    ``host`` is the schema's first field, nullable. Raises ``NotAvro`` if the first bytes are no such field; the others
    are not read.
    """
    if body[:1] == b"\x00":
        return None
    if body[:1] != b"\x02" or len(body) < 3:  # another coding of the same branch is not what any encoder writes
        raise NotAvro("The event does not begin with its host.")
    size, start = body[1] >> 1, 2
    if body[1] & 0x80:
        size, start = (body[1] & 0x7F | body[2] << 7) >> 1, 3
    if body[1] & 1 or (start == 3 and body[2] & 0x80) or start + size > len(body):
        raise NotAvro("The host at the begin of the event has no valid length.")
    try:
        return body[start : start + size].decode()
    except UnicodeDecodeError:
        raise NotAvro("The host at the begin of the event is not UTF-8.") from None


def frame_single_object(schema: Schema, body: bytes) -> bytes:
    """Frame a body as Avro single-object encoding: ``C3 01``, fingerprint, body."""
    return SINGLE_OBJECT_MAGIC + schema.fingerprint + body


def frame_confluent(schema_id: int, body: bytes) -> bytes:
    """Frame a body like Confluent's clients: magic byte 0, big-endian schema id of the registry, body."""
    return _CONFLUENT.pack(0, schema_id) + body


def unframe(value: bytes, headers: Iterable[Header] | None = None) -> Unframed:
    """Split a record's value into framing and body; with a fingerprint header, Confluent framing needs no registry.

    Raises ``NotAvro`` if the value has neither framing.
    """
    if value[:2] == SINGLE_OBJECT_MAGIC and len(value) >= 10:
        return Unframed(value[2:10], None, value[10:])
    if value[:1] == CONFLUENT_MAGIC and len(value) >= 5:
        return Unframed(fingerprint_of(headers), _CONFLUENT.unpack_from(value)[1], value[5:])
    raise NotAvro(f"The value starts with {value[:2].hex() or 'nothing'}: neither Confluent nor single-object framing.")


class _Resolved(NamedTuple):
    """What is known of a schema id, and when to ask for it again (monotonic seconds)."""

    writer: WriterSchema | UnknownSchema
    ask_again_at: float


class Decoder:
    """Decodes framed records of one type, in any version and either framing.

    Where a record names the fingerprint of a schema of this release, in its framing or in its headers, that schema is
    used and no registry is asked. ``resolve_id`` turns a registry's schema id into a schema's JSON text; it may raise
    ``UnknownSchema`` or ``RegistryUnavailable``. Without it, only records with a schema of this release can be read.
    """

    def __init__(
        self,
        reader: Schema,
        resolve_id: Callable[[int], str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._resolve_id = resolve_id
        self._clock = clock
        self._by_id: dict[int, _Resolved] = {}

    def decode(self, value: bytes, headers: Iterable[Header] | None = None) -> dict[str, Any]:
        """Return the record in a Kafka record's value, its texts cut to the limits in the schema.

        Raises ``NotAvro``, ``UnknownSchema`` (bad records) or ``RegistryUnavailable`` (wait).
        """
        return bound_texts(self._reader, self.read(value, headers))

    def read(self, value: bytes, headers: Iterable[Header] | None = None) -> dict[str, Any]:
        """Do what `decode` does, but leave texts as the writer wrote them, however long."""
        framed = unframe(value, headers)
        if framed.fingerprint == self._reader.fingerprint:
            return read_record(self._reader, framed.body)
        return read_record(self._reader, framed.body, self._writer(framed))

    def _writer(self, framed: Unframed) -> WriterSchema:
        if framed.fingerprint is not None and (known := by_fingerprint(framed.fingerprint)):
            if known.name != self._reader.name:
                raise UnknownSchema(f"The record is a {known.name}, not a {self._reader.name}.")
            return WriterSchema(_PLAIN[known.fingerprint])
        if framed.schema_id is None or self._resolve_id is None:
            raise UnknownSchema(
                f"The schema of {_describe(framed)} is unknown: configure the registry or upgrade stumble."
            )
        resolved = self._by_id.get(framed.schema_id)
        if resolved is None or self._clock() >= resolved.ask_again_at:
            resolved = self._by_id[framed.schema_id] = self._resolve(self._resolve_id, framed.schema_id, resolved)
        if isinstance(resolved.writer, UnknownSchema):
            raise resolved.writer.with_traceback(None)
        return resolved.writer

    def _resolve(self, resolve_id: Callable[[int], str], schema_id: int, known: _Resolved | None) -> _Resolved:
        """Ask for a schema; the known one stays in use while the registry does not have it, or is unavailable."""
        try:
            text = resolve_id(schema_id)
        except (UnknownSchema, RegistryUnavailable):
            if known is None:
                raise
            return _Resolved(known.writer, self._clock() + _TRY_AGAIN_SECONDS)
        return _Resolved(self._parse(text, schema_id), self._clock() + _ASK_AGAIN_SECONDS)

    def _parse(self, text: str, schema_id: int) -> WriterSchema | UnknownSchema:
        try:
            return parse_writer_schema(text, self._reader)
        except UnsupportedSchema as error:
            return UnknownSchema(f"The registry's schema for schema id {schema_id} is not supported: {error}.")
        except Exception as error:  # noqa: BLE001  # the registry may return any text
            return UnknownSchema(f"The registry's schema for schema id {schema_id} cannot be parsed: {error}.")


def _describe(framed: Unframed) -> str:
    if framed.schema_id is not None:
        return f"schema id {framed.schema_id}"
    return f"fingerprint {framed.fingerprint.hex() if framed.fingerprint else 'none'}"


__all__ = [
    "MAX_BODY_BYTES",
    "Decoder",
    "Unframed",
    "WireError",
    "bound_texts",
    "decode_record",
    "encode_record",
    "frame_confluent",
    "frame_single_object",
    "parse_plain_schema",
    "read_host",
    "read_record",
    "unframe",
]
