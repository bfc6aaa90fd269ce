"""What was read of the topic, laid down in temporary tables of one session with the store.

PostgreSQL sorts it by instance, on its own disk: the audit's memory does not grow with the topic, and nothing is left
behind when it is killed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from stumble.consumers.facts import pack
from stumble.consumers.store.copying import PG_EPOCH_US, copy_rows
from stumble.consumers.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from stumble.consumers.projector.reading import Reading

_COLUMNS = 8
#: Rows in PostgreSQL's binary COPY format: with an instance, and without (a length of -1 is null).
_OWNED = struct.Struct("!hi16siiiqiqi16si")
_ALONE = struct.Struct("!hi16siiiqiqii")
_DIGEST = struct.Struct("!i8si")
_NUL = b"\\u0000"
#: Statements that make the tables.
TABLES = (
    "audit_forget_tables",
    "audit_table_staged",
    "audit_table_unreadable",
    "audit_table_joins",
    "audit_table_instances",
    "audit_table_differences",
)
#: Bytes of a body's SHA-256 that are compared.
DIGEST_BYTES = 8


@dataclass(slots=True)
class Stage:
    """The temporary tables `audit_staged` and those made of it."""

    connection: Connection[Any]
    records: int = 0
    partitions: set[int] = field(default_factory=set)

    def create(self) -> None:
        """Make the tables; those of an earlier use in the same session are emptied."""
        for statement in TABLES:
            self.connection.execute(query(statement))

    def add(self, rows: bytes, records: int) -> None:
        """Lay down rows of what was read, put together."""
        if records:
            with self.connection.cursor() as cursor:
                copy_rows(cursor, "copy_staged", [rows])
            self.records += records


def staged(readings: Iterable[Reading]) -> list[bytes]:
    """Return what was read as rows of `audit_staged`, in PostgreSQL's binary COPY format."""
    return [_row(reading) for reading in readings]


def _row(reading: Reading) -> bytes:
    request_id = (reading.request_id or "").encode()
    place = (16, reading.event_id, 4, reading.partition, 8, reading.offset, 8, reading.occurred_at - PG_EPOCH_US)
    if reading.instance is None:
        head = _ALONE.pack(_COLUMNS, *place, -1, len(request_id))
    else:
        instance = bytes.fromhex(reading.instance.replace("-", ""))
        head = _OWNED.pack(_COLUMNS, *place, 16, instance, len(request_id))
    fact = _fact(reading)
    digest = sha256(reading.framed).digest()[:DIGEST_BYTES]
    if fact is None:
        return b"".join((head, request_id, _DIGEST.pack(DIGEST_BYTES, digest, -1)))
    return b"".join((head, request_id, _DIGEST.pack(DIGEST_BYTES, digest, len(fact)), fact))


def _fact(reading: Reading) -> bytes | None:
    if reading.instance is None and (reading.request_id is None or reading.fact.failure is None):
        return None  # stored as an event, and nothing follows from it
    packed = pack([reading.fact])
    if _NUL in packed:
        reading.clean()
        packed = pack([reading.fact])
    return packed
