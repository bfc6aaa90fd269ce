"""The store's incarnation: begins anew when the database was restored, or another server took over.

Ids of transactions can be compared only within one incarnation, and counters may fall between two.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stumble.store.connect import StoreError, connect, database_label
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

_log = logging.getLogger("stumble.store")
_FIRST = "the store was created"
_CHANGED = "the database was restored, or another server took over"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One incarnation. `seen_identity`: of the database as the session sees it, None on a standby."""

    number: int
    started_at: datetime
    identity: str
    reason: str
    seen_identity: str | None

    @property
    def is_current(self) -> bool:
        """Whether it belongs to the database of this session, as far as a standby can tell."""
        return self.seen_identity in (None, self.identity)


def read_incarnation(connection: Connection[Any]) -> Incarnation | None:
    """Return the last incarnation, None where none has begun; raises what psycopg raises."""
    row = connection.execute(query("load_incarnation")).fetchone()
    return Incarnation(*row) if row and row[0] is not None else None


def ensure_incarnation(connection: Connection[Any]) -> Incarnation:
    """Return the incarnation of this session's database; begin it first if it has none.

    Raises what psycopg raises.
    """
    known = read_incarnation(connection)
    if known is not None and known.is_current:
        return known
    return begin_incarnation(connection, _FIRST if known is None else _CHANGED, unless_current=True)


def connect_writer(url: str, application: str) -> Connection[Any]:
    """Open a session that writes publications, in the incarnation of the database that answers.

    Raises `StoreUnavailableError`, and what psycopg raises.
    """
    connection = connect(url, application=application)
    try:
        ensure_incarnation(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def begin_incarnation(connection: Connection[Any], reason: str, *, unless_current: bool = False) -> Incarnation:
    """Begin an incarnation after the transactions of the last one; return it, or the one that another process began.

    `unless_current`: only if the last one is of another database.
    """
    with connection.transaction():
        connection.execute(query("lock_incarnations"))
        known = read_incarnation(connection)
        if known is None or not (unless_current and known.is_current):
            connection.execute(query("add_incarnation"), {"reason": reason})
            if known is not None:
                _log.warning("The store begins a new incarnation: %s.", reason)
        result = read_incarnation(connection)
    assert result is not None, "the transaction added one where there was none"
    return result


def require_restored(connection: Connection[Any], url: str) -> None:
    """Raise `StoreError` unless the database holds a whole store, and no other process of stumble uses it."""
    label = database_label(url)
    others = [name for (name,) in connection.execute(query("load_other_sessions"))]
    if others:
        raise StoreError(
            f"The store {label} is in use by {', '.join(others)}: stop projectors, alerters and APIs, and repeat the "
            "restore if one of them has written since."
        )
    count, expected = connection.execute(query("count_store_objects")).fetchone() or (0, None)
    if count < int(expected or 1):
        has = f"only {count} of the {expected} tables, indexes, constraints and triggers" if expected else "no tables"
        raise StoreError(
            f"The store {label} has {has} of a store: the restore did not succeed. Repeat it into an empty database "
            "with `pg_restore --exit-on-error --single-transaction`."
        )


def explain_catch_up(incarnation: Incarnation | None, waiting: int, partitions: int) -> str | None:
    """Return a sentence why the store's counters may be lower than they were, None if they are not.

    `waiting`: how many of the topic's `partitions` (count_partitions_to_catch_up) are not read again up to their end.
    """
    if incarnation is None or not incarnation.is_current:
        return "The database was restored, or another server took over, and no projector has started since."
    if not partitions:
        return "No projector has stored anything yet."
    if waiting:
        since = incarnation.started_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return (
            f"{waiting} of {partitions} partitions are not read yet up to where they ended at {since}, when the store "
            f"began a new incarnation ({incarnation.reason}): /metrics has no counters of the store until then."
        )
    return None
