"""Exception classes of stored failures that the taxonomy does not contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stumble.store.queries import query
from stumble.wire.taxonomy import is_unknown

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import Connection


class UnknownException(NamedTuple):
    """One class. ``is_nova``: it has a code, as only Nova's own exceptions do; without a code it may be any."""

    exception: str
    is_nova: bool
    failures: int
    first_at: datetime
    last_at: datetime
    actions: list[str]


def unknown_exceptions(connection: Connection[Any]) -> list[UnknownException]:
    """Return them, the most frequent first. Raises psycopg's errors when the store is unavailable."""
    rows = connection.execute(query("load_unknown_exceptions")).fetchall()
    return [UnknownException(*row) for row in rows if row[0] and is_unknown(row[0])]
