"""Format of a segment: a 16-byte header, then records of marker, length, CRC-32 and payload.

All integers are little-endian. The payload is an envelope, which holds what the relay needs beside the bytes (key,
ids, time), and the event's bare Avro body; so the relay never decodes Avro. An envelope states its own length: a
reader skips what a later release adds behind the fields that it knows. The marker's first byte never occurs in UTF-8,
so no text inside an event can pass for a record, and a reader finds its way again behind a damaged place.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

FORMAT_VERSION = 1
MAGIC = b"STUMBLE\n"
SEGMENT_HEADER = struct.Struct("<8sHHI")  # magic, format version, size of this header, zero
MARK = b"\xf5ST\x01"
RECORD_HEADER = struct.Struct("<4sII")  # marker, payload length, CRC-32 of the payload seeded with its length
MAX_PAYLOAD = 16 << 20  # a length above this is damage

_ENVELOPE = struct.Struct("<HBB8sq16sHHH")  # its size, flags, zero, fingerprint, time, event id, three text lengths
_FAILURE = 1
_SHORTEST = RECORD_HEADER.size + _ENVELOPE.size


class Envelope(NamedTuple):
    """What the relay needs of an event beside its bytes."""

    fingerprint: bytes
    """CRC-64-AVRO of the schema that the body was written with, 8 bytes."""
    occurred_at: int
    """UTC microseconds."""
    event_id: bytes
    """The 16 bytes of the uuid."""
    key: bytes
    """Kafka key."""
    source: bytes = b""
    """Publisher, UTF-8."""
    traceparent: bytes = b""
    """W3C trace context, empty where there is none."""
    is_failure: bool = False
    """Failures are the last to be refused."""


class OutboxRecord(NamedTuple):
    """One event as it lies in a segment."""

    offset: int
    size: int
    envelope: Envelope
    body: bytes


def segment_header() -> bytes:
    """Return the bytes that a segment starts with."""
    return SEGMENT_HEADER.pack(MAGIC, FORMAT_VERSION, SEGMENT_HEADER.size, 0)


def pack(envelope: Envelope, body: bytes) -> bytes:
    """Return one whole record: header, envelope, body. Raises ``struct.error`` where a field doesn't fit."""
    fingerprint, occurred_at, event_id, key, source, traceparent, is_failure = envelope
    key_size, source_size, trace_size = len(key), len(source), len(traceparent)
    payload = (
        _ENVELOPE.pack(
            _ENVELOPE.size + key_size + source_size + trace_size,
            _FAILURE if is_failure else 0,
            0,
            fingerprint,
            occurred_at,
            event_id,
            key_size,
            source_size,
            trace_size,
        )
        + key
        + source
        + traceparent
        + body
    )
    size = len(payload)
    return RECORD_HEADER.pack(MARK, size, crc32(payload, size)) + payload


def unpack_payload(offset: int, payload: bytes) -> OutboxRecord:
    """Take a payload whose CRC is right apart. Raises ``ValueError`` or ``struct.error`` where it makes no sense."""
    size, flags, _, fingerprint, at, event_id, key_size, source_size, trace_size = _ENVELOPE.unpack_from(payload)
    source = _ENVELOPE.size + key_size
    trace = source + source_size
    end = trace + trace_size
    if not end <= size <= len(payload):
        raise ValueError("the envelope is longer than its record")
    envelope = Envelope(
        fingerprint,
        at,
        event_id,
        payload[_ENVELOPE.size : source],
        payload[source:trace],
        payload[trace:end],
        bool(flags & _FAILURE),
    )
    return OutboxRecord(offset, RECORD_HEADER.size + len(payload), envelope, payload[size:])


def record_at(data: bytes, position: int, base: int) -> OutboxRecord | None:
    """Return the record that starts at ``position`` of ``data``, or None where no whole, sound one does.

    ``base`` is the offset in the segment of the first byte of ``data``.
    """
    if position + _SHORTEST > len(data):
        return None
    mark, size, crc = RECORD_HEADER.unpack_from(data, position)
    start = position + RECORD_HEADER.size
    if mark != MARK or size > MAX_PAYLOAD or start + size > len(data):
        return None
    payload = data[start : start + size]
    if crc32(payload, size) != crc:
        return None
    try:
        return unpack_payload(base + position, payload)
    except (ValueError, struct.error):
        return None


def next_record(data: bytes, position: int) -> int:
    """Return the position of the next sound record behind a damaged one, or -1."""
    position = data.find(MARK, position + 1)
    while position >= 0 and record_at(data, position, 0) is None:
        position = data.find(MARK, position + 1)
    return position


def declared_end(data: bytes, position: int) -> int | None:
    """Return where the record at ``position`` says that it ends; None where its header is no header.

    A header that is cut short by the end of ``data`` counts as one: its end is not there yet.
    """
    if position + RECORD_HEADER.size > len(data):
        rest = data[position : position + len(MARK)]
        return len(data) + 1 if MARK.startswith(rest) else None
    mark, size, _ = RECORD_HEADER.unpack_from(data, position)
    return position + RECORD_HEADER.size + size if mark == MARK and size <= MAX_PAYLOAD else None
