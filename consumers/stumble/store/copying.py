"""Rows of `events` in PostgreSQL's binary COPY format, packed with one `struct` call per row.

Source of the format: PostgreSQL documentation, COPY, "Binary Format"; timestamps are microseconds since 2000.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from psycopg import Cursor

_HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
_TRAILER = b"\xff\xff"
_ROW = struct.Struct("!hi16siqiiiqi")
_COLUMNS = 6
_NULL = b"\xff\xff\xff\xff"
#: Rows per write to the server.
_CHUNK = 256
#: 2000-01-01 in microseconds of Unix time.
PG_EPOCH_US = 946_684_800_000_000
_ARRAY = struct.Struct("!iiiii")
_UUID_OID = 2950
_UUID_LENGTH = b"\x00\x00\x00\x10"
_BYTEA_OID = 17


def event_row(
    event_id: bytes, occurred_us: int, partition: int, offset: int, body: bytes, message: str | None = None
) -> bytes:
    """Pack one row of `events`: a 16-byte id, Unix microseconds, its partition and offset, the framed event, a message.

    `message` is that of the event's failure, where the failure's reason does not show it.
    """
    head = _ROW.pack(_COLUMNS, 16, event_id, 8, occurred_us - PG_EPOCH_US, 4, partition, 8, offset, len(body))
    if message is None:
        return head + body + _NULL
    raw = message.encode()
    return head + body + len(raw).to_bytes(4, "big") + raw


def copy_rows(cursor: Cursor[tuple[object, ...]], statement: str, rows: Sequence[bytes]) -> None:
    """Run the named COPY `statement` with packed `rows`; raises PostgreSQL's errors about them."""
    with copying(cursor, statement, rows):
        pass


@contextmanager
def copying(cursor: Cursor[tuple[object, ...]], statement: str, rows: Sequence[bytes]) -> Iterator[Callable[[], None]]:
    """Run the named COPY `statement` while the body does something else; the cursor can't be used meanwhile.

    Yields a function to call from time to time: it sends some more of the packed `rows` to the server. The rest is
    sent at the end, where PostgreSQL's errors about the rows are raised.
    """
    if not rows:
        yield _nothing
        return
    with cursor.copy(query(statement)) as copy:
        copy.write(_HEADER)
        chunks = (b"".join(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK))

        def more() -> None:
            if (chunk := next(chunks, None)) is not None:
                copy.write(chunk)

        yield more
        for chunk in chunks:
            copy.write(chunk)
        copy.write(_TRAILER)


def _nothing() -> None:
    """Do nothing: there are no rows."""


def uuid_array(ids: Iterable[bytes]) -> bytes:
    """Pack 16-byte ids as a binary `uuid[]`."""
    items = list(ids)
    head = _ARRAY.pack(1, 0, _UUID_OID, len(items), 1)
    return head + b"".join([_UUID_LENGTH + item for item in items])


def bytea_array(values: Sequence[bytes]) -> bytes:
    """Pack byte strings as a binary `bytea[]`."""
    parts = [_ARRAY.pack(1, 0, _BYTEA_OID, len(values), 1)]
    for value in values:
        parts.append(len(value).to_bytes(4, "big"))
        parts.append(value)
    return b"".join(parts)
