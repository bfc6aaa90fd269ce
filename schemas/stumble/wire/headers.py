"""Headers of every record: the writer's schema, CloudEvents in binary mode, W3C trace context, the sending relay.

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
#: Name of the host whose relay sent the record, UTF-8.
RELAY = "stumble_relay"
#: ``1`` if the record is from an outbox that the relay's configuration gives to a bridge, so it may name any host.
BRIDGE = "stumble_bridge"


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


def relay_headers(relay_host: str, *, is_bridge: bool) -> list[tuple[str, bytes]]:
    """Return the headers that name a record's relay, and mark a record of a bridge."""
    headers = [(RELAY, relay_host.encode("utf-8", "replace"))]
    return [*headers, (BRIDGE, b"1")] if is_bridge else headers


def relay_of(headers: Iterable[Header] | None) -> str | None:
    """Return the host of the relay that sent a record, or None if the header is missing or not UTF-8."""
    value = last_header(headers, RELAY)
    try:
        return value.decode() if value else None
    except UnicodeDecodeError:
        return None


def is_from_bridge(headers: Iterable[Header] | None) -> bool:
    """Return whether a relay marked a record as one of a bridge."""
    return last_header(headers, BRIDGE) == b"1"


def last_header(headers: Iterable[Header] | None, name: str) -> bytes | None:
    """Return the value of the last header of this name, which is the one that counts where a name is repeated."""
    return next((value for key, value in reversed(list(headers or ())) if key == name), None)
