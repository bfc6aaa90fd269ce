"""Format of a segment: a 16-byte header, then records of marker, length, CRC-32 and payload.

All integers are little-endian. The payload is an envelope with the data that the relay needs (key, ids, time), and the
event's Avro body without framing; so the relay needs no schema to find the data with which it sends a record. An
envelope contains its own length: a reader skips fields that a later release appends. The marker's first byte never
occurs in UTF-8, so no text inside an event looks like a record, and a reader can find the next record after damaged
bytes.
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
MAX_PAYLOAD = 256 << 10  # several times the largest event; a greater length means damage
#: Most bytes of each text of an envelope: the emitter cuts them when it writes, the relay when it reads.
MAX_TEXT = 1024

_ENVELOPE = struct.Struct("<HBB8sq16sHHH")  # its size, flags, zero, fingerprint, time, event id, three text lengths
_FAILURE = 1
_MOST_MARKS = 64
_SHORTEST = RECORD_HEADER.size + _ENVELOPE.size


class Envelope(NamedTuple):
    """The data of an event that the relay needs in addition to its body."""

    fingerprint: bytes
    """CRC-64-AVRO of the body's schema, 8 bytes."""
    occurred_at: int
    """UTC microseconds."""
    event_id: bytes
    """The 16 bytes of the uuid."""
    key: bytes
    """Kafka key."""
    source: bytes = b""
    """Publisher, UTF-8."""
    traceparent: bytes = b""
    """W3C trace context, or empty."""
    is_failure: bool = False
    """Failures are refused last."""


class OutboxRecord(NamedTuple):
    """One event in a segment."""

    offset: int
    size: int
    envelope: Envelope
    body: bytes


def segment_header() -> bytes:
    """Return the header of a segment."""
    return SEGMENT_HEADER.pack(MAGIC, FORMAT_VERSION, SEGMENT_HEADER.size, 0)


def pack_record(envelope: Envelope, body: bytes) -> bytes:
    """Return one record: header, envelope, body. Raises ``struct.error`` if a field is too large."""
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
    """Parse a payload whose CRC is correct. Raises ``ValueError`` or ``struct.error`` if it is invalid."""
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
    """Return the record that starts at ``position`` of ``data``, or None if there is no complete, valid record.

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
    """Return the position of the next valid record after ``position``, or -1.

    After 64 marks without a valid record, return the position of the last one: each costs a checksum of up to
    ``MAX_PAYLOAD`` bytes, and a file may consist of marks.
    """
    for _ in range(_MOST_MARKS):
        position = data.find(MARK, position + 1)
        if position < 0 or record_at(data, position, 0) is not None:
            break
    return position


def declared_end(data: bytes, position: int) -> int | None:
    """Return the end of the record at ``position`` according to its header; None if the header is invalid.

    A header that the end of ``data`` cuts off counts as valid; its end is then after ``data``.
    """
    if position + RECORD_HEADER.size > len(data):
        rest = data[position : position + len(MARK)]
        return len(data) + 1 if MARK.startswith(rest) else None
    mark, size, _ = RECORD_HEADER.unpack_from(data, position)
    return position + RECORD_HEADER.size + size if mark == MARK and size <= MAX_PAYLOAD else None
