"""Headers of every record: the writer's schema, CloudEvents in binary mode, W3C trace context.

Sources: CloudEvents Kafka protocol binding 1.0.2 (binary content mode), W3C Trace Context.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from stumble.schemas.wire.schemas import Schema

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

    ``source`` is where the record came from (a publisher such as ``nova-compute:host1``), ``event_id`` unique within
    it, ``time_us`` UTC microseconds.
    """
    time = datetime.fromtimestamp(time_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    headers = [
        (SCHEMA, schema.name.encode()),
        (FINGERPRINT, schema.fingerprint.hex().encode()),
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", f"{schema.name}.v{schema.version}".encode()),
        ("ce_source", f"/stumble/{quote(source, safe='')}".encode()),
        ("ce_time", time.encode()),
        ("content-type", b"application/avro"),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def fingerprint_of(headers: Iterable[Header] | None) -> bytes | None:
    """Return the schema fingerprint that a record's headers name, or None where there is none to be read."""
    for name, value in headers or ():
        if name == FINGERPRINT and value:
            try:
                found = bytes.fromhex(value.decode("ascii"))
            except ValueError:
                return None
            return found if len(found) == 8 else None
    return None
