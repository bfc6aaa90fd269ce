"""Headers of every record: the writer's schema, CloudEvents in binary mode, W3C trace context.

Sources: CloudEvents Kafka protocol binding 1.0.2 (binary content mode), W3C Trace Context.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from stumble.wire.schemas import Schema

Header = tuple[str, "bytes | None"]

SCHEMA = "stumble_schema"
FINGERPRINT = "stumble_fingerprint"


def record_headers(
    schema: Schema,
    source: str,
    event_id: str,
    time_us: int,
    traceparent: str | None = None,
) -> list[tuple[str, bytes]]:
    """Return a record's headers.

    ``source`` is the publisher of the record (such as ``nova-compute:host1``), ``event_id`` is unique within it,
    ``time_us`` is UTC microseconds.
    """
    schema_name, schema_print, version, kind, content = _of_schema(schema)
    seconds, micros = divmod(time_us, 1_000_000)
    headers = [
        schema_name,
        schema_print,
        version,
        ("ce_id", event_id.encode()),
        kind,
        ("ce_source", _of_source(source)),
        ("ce_time", b"%s.%06dZ" % (_of_second(seconds), micros)),
        content,
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


_SCHEMAS: dict[bytes, tuple[tuple[str, bytes], ...]] = {}


def _of_schema(schema: Schema) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that all records of a schema share; cached, since a relay needs them for every record."""
    if schema.fingerprint not in _SCHEMAS:
        _SCHEMAS[schema.fingerprint] = (
            (SCHEMA, schema.name.encode()),
            (FINGERPRINT, schema.fingerprint.hex().encode()),
            ("ce_specversion", b"1.0"),
            ("ce_type", f"{schema.name}.v{schema.version}".encode()),
            ("content-type", b"application/avro"),
        )
    return _SCHEMAS[schema.fingerprint]


@lru_cache(maxsize=1024)
def _of_source(source: str) -> bytes:
    return f"/stumble/{quote(source, safe='')}".encode()


@lru_cache(maxsize=1024)
def _of_second(seconds: int) -> bytes:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()
    except (ValueError, OverflowError, OSError):  # an out-of-range time must not stop the relay; the body has it
        return b"1970-01-01T00:00:00"


def fingerprint_of(headers: Iterable[Header] | None) -> bytes | None:
    """Return the schema fingerprint from a record's headers, or None if no valid one is there."""
    for name, value in headers or ():
        if name == FINGERPRINT and value:
            try:
                result = bytes.fromhex(value.decode("ascii"))
            except ValueError:
                return None
            return result if len(result) == 8 else None
    return None
