"""Derives stored instances again after a change of rules, and writes the corrections as the projector does.

Each chunk of instances is written under the locks of their partitions; a projector that runs meanwhile waits for the
length of a chunk, then continues. Only changes are written.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stumble.ingest import difference_writer, factsets
from stumble.ingest.errors import RETRY
from stumble.ingest.fold import derive_all
from stumble.outcome.facts import Fact, fact_of
from stumble.store.queries import query
from stumble.wire.codec import Decoder
from stumble.wire.schemas import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from psycopg import Connection, Cursor

    from stumble.ingest.factsets import LoadedFacts

_CHUNK = 200
_FIRST = "00000000-0000-0000-0000-000000000000"
_TRIES = 10


@dataclass(slots=True)
class InstanceSelection:
    """Which instances to derive again: one, or those whose facts last changed in a time range; all by default."""

    instance: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(slots=True)
class RederiveReport:
    """How many instances were derived again, and how many changes followed."""

    instances: int = 0
    requests: int = 0
    failures: int = 0
    publications: int = 0

    def add(self, other: RederiveReport) -> None:
        """Add the report of one more chunk."""
        self.instances += other.instances
        self.requests += other.requests
        self.failures += other.failures
        self.publications += other.publications


def rederive(
    connection: Connection[Any],
    topic: str,
    selection: InstanceSelection,
    *,
    from_events: bool = False,
    dry_run: bool = False,
    on_progress: Callable[[RederiveReport], None] = lambda _: None,
) -> RederiveReport:
    """Derive the selected instances again; `on_progress` is called with the report so far after each chunk.

    The facts of failing events are first made again from the stored events, because a fact has only a hash of its
    message, made by the release that stored it; with `from_events` all facts are. Facts whose event is no longer stored
    stay as they are. With `dry_run` nothing is written. Raises psycopg's errors when the store is unavailable.
    """
    report, after = RederiveReport(), _FIRST
    while True:
        rows = connection.execute(
            query("load_instances_to_rederive"),
            {
                "after": after,
                "instance": selection.instance,
                "since": selection.since,
                "until": selection.until,
                "limit": _CHUNK,
            },
        ).fetchall()
        if not rows:
            return report
        report.add(_chunk(connection, topic, dict(rows), from_events=from_events, dry_run=dry_run))
        on_progress(report)
        after = rows[-1][0]


def _chunk(
    connection: Connection[Any], topic: str, owners: dict[str, int], *, from_events: bool, dry_run: bool
) -> RederiveReport:
    for attempt in range(_TRIES):
        try:
            with connection.transaction(force_rollback=dry_run), connection.cursor() as cursor:
                parameters = {"topic": topic, "partitions": sorted(set(owners.values()))}
                cursor.execute(query("lock_partitions"), parameters)
                return _derive(cursor, owners, from_events=from_events)
        except RETRY:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)
    raise AssertionError


def _derive(cursor: Cursor[Any], owners: dict[str, int], *, from_events: bool) -> RederiveReport:
    loaded = factsets.load_instances(cursor, owners)
    _refresh(cursor, loaded, everything=from_events)
    folded = derive_all(cursor, loaded, everything=True)
    difference_writer.write_difference(cursor, folded, Counter())
    differences = [change.difference for change in folded.changes]
    return RederiveReport(
        len(owners),
        sum(len(one.upsert_requests) + len(one.delete_requests) for one in differences),
        sum(len(one.upsert_failures) + len(one.delete_failures) for one in differences),
        sum(len(one.publications) for one in differences),
    )


def _refresh(cursor: Cursor[Any], loaded: LoadedFacts, *, everything: bool) -> None:
    """Make facts again from the events that are still stored: those of failures, or all."""
    facts = [fact for fact_set in loaded.sets.values() for fact in fact_set.facts]
    ids = [fact.event_id for fact in facts if everything or fact.failure is not None]
    if not ids:
        return
    decoder = Decoder(EVENT)
    fresh: dict[str, Fact] = {
        event_id: fact_of(decoder.decode(body))
        for event_id, body in cursor.execute(query("load_event_bodies"), {"ids": ids})
    }
    for fact_set in loaded.sets.values():
        fact_set.replace([fresh.get(fact.event_id, fact) for fact in fact_set.facts])
