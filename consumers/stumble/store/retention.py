"""Retention per table: deletes rows that are older than their retention, some at a time."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stumble.outcome.rules import RULES
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from stumble.store.partitions import EventPartitions

#: Rows that one statement deletes: short locks, short transactions.
_CHUNK = 5_000
#: Fact sets that one transaction deletes with all that was derived from them, while their partition waits.
_SETS = 1_000
#: Deletions per table and run; the next run deletes the rest.
_MOST_CHUNKS = 100


@dataclass(slots=True, frozen=True)
class Retention:
    """Days that the store retains each kind of rows. Requests, their facts and failures are deleted together."""

    events: int = 90
    requests: int = 400
    late_events: int = 400
    sightings: int = 400
    publications: int = 400
    producers: int = 90
    deliveries: int = 30


def delete_expired(connection: Connection[Any], partitions: EventPartitions, days: Retention) -> None:
    """Delete the rows that are older than their retention.

    One process at a time does this; another one that can't get the lock returns without doing anything.
    """
    with _alone(connection) as has_lock:
        if not has_lock:
            return
        partitions.drop_old(connection)
        _expire_requests(connection, days.requests)
        for name, days_of_table in (
            ("expire_default_events", days.events),
            ("expire_late_events", days.late_events),
            ("expire_sightings", days.sightings),
            ("expire_deliveries", days.deliveries),
            ("expire_publications", days.publications),
            ("expire_decisions", days.requests),
            ("expire_producers", days.producers),
            ("expire_bridged_hosts", days.producers),
        ):
            for _ in range(_MOST_CHUNKS):
                if _delete(connection, name, {"days": days_of_table, "chunk": _CHUNK}) < _CHUNK:
                    break


@contextmanager
def _alone(connection: Connection[Any]) -> Iterator[bool]:
    row = connection.execute("select pg_try_advisory_lock(hashtext('stumble.retention'))").fetchone()
    has_lock = bool(row and row[0])
    try:
        yield has_lock
    finally:
        if has_lock and not connection.closed:
            connection.execute("select pg_advisory_unlock(hashtext('stumble.retention'))")


def _expire_requests(connection: Connection[Any], days: int) -> None:
    """Delete fact sets with their requests and failures, as their partition's only writer."""
    where = {"days": days, "chunk": _SETS, "actions": list(RULES)}
    for topic, partition in connection.execute(query("load_written_partitions")).fetchall():
        for _ in range(_MOST_CHUNKS):
            with connection.transaction():
                connection.execute(query("lock_partitions"), {"topic": topic, "partitions": [partition]})
                deleted = _delete(connection, "expire_fact_sets", {**where, "partition": partition})
            if deleted < _SETS:
                break


def _delete(connection: Connection[Any], name: str, where: dict[str, Any]) -> int:
    """Run a deleting statement; return the number of deleted rows, which it returns itself if it has a result."""
    cursor = connection.execute(query(name), where)
    if cursor.description is None:
        return cursor.rowcount
    row = cursor.fetchone()
    return int(row[0]) if row else 0
