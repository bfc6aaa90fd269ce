"""Stores what was read from the topic in temporary tables of one session with the store.

PostgreSQL sorts the rows by instance, on its own disk: the audit's memory does not grow with the topic, and nothing
remains when the audit is killed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from stumble.outcome.facts import pack_facts
from stumble.store.copying import PG_EPOCH_US, copy_rows
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from psycopg import Connection

    from stumble.ingest.decoding import DecodedEvent

_COLUMNS = 9
#: Rows in PostgreSQL's binary COPY format: with an instance, and without (a length of -1 is null).
_OWNED = struct.Struct("!hi16siiiqiqi16si")
_ALONE = struct.Struct("!hi16siiiqiqii")
_REST = struct.Struct("!i8siqi")
_NUL = b"\\u0000"
#: Statements that create the tables.
TABLES = (
    "drop_audit_tables",
    "create_audit_staged",
    "create_audit_unreadable",
    "create_audit_joins",
    "create_audit_instances",
    "create_audit_differences",
    "create_audit_cursor",
    "create_audit_published",
)
#: Bytes of a body's SHA-256 that are compared.
DIGEST_BYTES = 8


@dataclass(slots=True)
class StagingTables:
    """The temporary table `audit_staged` and those that are made from it."""

    connection: Connection[Any]
    records: int = 0

    def create(self) -> None:
        """Create the tables; those of an earlier use in the same session are dropped first."""
        for statement in TABLES:
            self.connection.execute(query(statement))

    def add(self, rows: bytes, records: int) -> None:
        """Insert rows of `audit_staged` in binary COPY format; `records` is the number of events that were read."""
        if records:
            with self.connection.cursor() as cursor:
                copy_rows(cursor, "copy_audit_staged", [rows])
            self.records += records


def staged_rows(readings: Iterable[DecodedEvent], alone_before: int = 0) -> list[bytes]:
    """Return what was read as rows of `audit_staged`, in PostgreSQL's binary COPY format.

    Facts of one set that come from one partition are together in the row of the first record, since most requests have
    few records. Facts of events before `alone_before` (microseconds) are not combined: each may be removed again.
    """
    groups: dict[Hashable, list[DecodedEvent]] = {}
    for number, reading in enumerate(readings):
        key: Hashable = number
        if reading.instance is not None and reading.occurred_at >= alone_before:
            key = (reading.partition, reading.instance, reading.request_id)
        groups.setdefault(key, []).append(reading)
    return [row for group in groups.values() for row in _rows(group)]


def _rows(group: list[DecodedEvent]) -> Iterator[bytes]:
    first = group[0]
    facts = _facts(group)
    request_id = (first.request_id or "").encode()
    instance = None if first.instance is None else bytes.fromhex(first.instance.replace("-", ""))
    until = group[-1].offset
    for reading in group:
        head_fields = (
            16,
            reading.event_id,
            4,
            reading.partition,
            8,
            reading.offset,
            8,
            reading.occurred_at - PG_EPOCH_US,
        )
        if instance is None:
            head = _ALONE.pack(_COLUMNS, *head_fields, -1, len(request_id))
        else:
            head = _OWNED.pack(_COLUMNS, *head_fields, 16, instance, len(request_id))
        digest = sha256(reading.framed).digest()[:DIGEST_BYTES]
        if facts is None:
            yield b"".join((head, request_id, _REST.pack(DIGEST_BYTES, digest, 8, until, -1)))
        else:
            yield b"".join((head, request_id, _REST.pack(DIGEST_BYTES, digest, 8, until, len(facts)), facts))
            facts, until = None, 0


def _facts(group: list[DecodedEvent]) -> bytes | None:
    first = group[0]
    if first.instance is None and (first.request_id is None or first.fact.failure is None):
        return None  # stored as an event, and nothing follows from it
    packed = pack_facts([reading.fact for reading in group])
    if _NUL in packed:
        for reading in group:
            reading.clean()
        packed = pack_facts([reading.fact for reading in group])
    return packed
