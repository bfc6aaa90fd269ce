"""Retention per table: what is older than it may be is taken out, a little at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stumble.consumers.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.consumers.store.partitions import EventPartitions

#: Rows that one statement deletes: short locks, short transactions.
_CHUNK = 5_000
#: Deletions per table and run; the rest waits for the next.
_MOST_CHUNKS = 100


def expire(connection: Connection[Any], partitions: EventPartitions, events_days: int, requests_days: int) -> None:
    """Take out events older than `events_days`, and requests, their facts and failures older than `requests_days`.

    One process at a time does it; the others find the lock taken and leave it to that one.
    """
    found = connection.execute("select pg_try_advisory_lock(hashtext('stumble.retention'))").fetchone()
    if not found or not found[0]:
        return
    try:
        partitions.drop_old(connection)
        for name, days in (
            ("expire_default_events", events_days),
            ("expire_late_events", requests_days),
            ("expire_requests", requests_days),
            ("expire_failures", requests_days),
            ("expire_fact_sets", requests_days),
            ("expire_decisions", requests_days),
            ("expire_old_sightings", requests_days),
            ("expire_publications", requests_days),
            ("expire_producers", events_days),
        ):
            for _ in range(_MOST_CHUNKS):
                if connection.execute(query(name), {"days": days, "chunk": _CHUNK}).rowcount < _CHUNK:
                    break
    finally:
        connection.execute("select pg_advisory_unlock(hashtext('stumble.retention'))")
