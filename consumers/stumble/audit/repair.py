"""Repairs what an audit found, in the way the projector writes.

Each instance is written under its partitions' locks, so projectors may run. Its facts are those of the topic, and those
outside the audited range. What changes gets its next revision; counters change by the difference.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from stumble.audit.counters import correct_counters, total_surplus, unexplained_moves
from stumble.audit.expected import assign_stored
from stumble.audit.instance_chunks import chunk_of, decisions_of
from stumble.audit.offset_range import OffsetRange
from stumble.audit.stored_state import StoredState, counted_after, load_stored_sets
from stumble.audit.topic import read_records
from stumble.ingest import difference_writer, factsets
from stumble.ingest.errors import RETRY
from stumble.ingest.factsets import FactSet
from stumble.ingest.fold import Folded, FoldedChange
from stumble.outcome.derive import derive_sets
from stumble.outcome.diff import Difference, compute_difference
from stumble.runtime.gc_pause import gc_paused
from stumble.store.copying import copy_rows
from stumble.store.json_rows import as_json
from stumble.store.partitions import EventPartitions, days_of_ids, id_time_us
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from confluent_kafka import Message
    from psycopg import Cursor

    from stumble.audit.audit import Audit
    from stumble.audit.expected import InstanceChunk
    from stumble.audit.report import AuditReport
    from stumble.ingest.decoding import DecodedEvent
    from stumble.ingest.factsets import LoadedFacts

T = TypeVar("T")
#: Projectors of these instances' partitions wait for the transaction.
_INSTANCES_PER_TRANSACTION = 50
_OFFSETS_PER_QUERY = 5000
_TRIES = 10
_FIRST = "00000000-0000-0000-0000-000000000000"
EVENTS, EXTRA, INSTANCES, PUBLISHED, COUNTERS = (
    "events fetched again",
    "extra events deleted",
    "instances derived again",
    "corrections published",
    "counters corrected",
)


def repair_store(audit: Audit) -> AuditReport:
    """Repair what `audit`, which has run, found; return a report of what was done and what still differs."""
    with gc_paused():
        return audit.compare_again(Repair(audit).run())


class Repair:
    """Repairs what `audit` found; the audit's session holds the topic's facts."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._connection = audit.connection
        self._done: Counter[str] = Counter()
        self._surplus: dict[tuple[str, ...], int] = {}

    def run(self) -> Counter[str]:
        """Repair everything; return the numbers of changes. After an interruption, a new run repairs the rest."""
        self._connection.execute(query("create_repair_index"))
        with self._audit.snapshot():
            self._surplus = total_surplus(self._connection)
        self._fetch_events()
        self._everywhere(self._events_and_sightings)
        after = _FIRST
        while rows := self._instances(after):
            self._transaction(lambda rows=rows: self._repair_instances(rows))  # type: ignore[misc]
            after = rows[-1]
            self._audit.on_progress("repaired", self._done[INSTANCES], 0)
        if self._audit.scope.everything:
            self._everywhere(self._settle)
        return +self._done

    def _instances(self, after: str) -> list[str]:
        where = {"after": after, "limit": _INSTANCES_PER_TRANSACTION}
        rows = self._connection.execute(query("load_instances_to_repair"), where)
        return [row[0] for row in rows]

    def _transaction(self, work: Callable[[], T]) -> T:
        for attempt in range(_TRIES):
            try:
                with self._connection.transaction():
                    return work()
            except RETRY:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(0.1 * 2 ** min(attempt, 5))
        raise AssertionError

    def _lock(self, partitions: Sequence[int]) -> None:
        order = {"topic": self._audit.topic, "partitions": sorted(set(partitions))}
        self._connection.execute(query("lock_partitions"), order)

    def _everywhere(self, work: Callable[[Cursor[Any]], None]) -> None:
        """Do something under the locks of all partitions."""

        def locked() -> None:
            self._lock(list(self._audit.span.ends))
            with self._connection.cursor() as cursor:
                work(cursor)

        self._transaction(locked)

    def _events_and_sightings(self, cursor: Cursor[Any]) -> None:
        self._done[EXTRA] += cursor.execute(query("delete_extra_events")).rowcount
        cursor.execute(query("repair_sightings"), {"patience": self._audit.own.sighting_patience})

    def _settle(self, cursor: Cursor[Any]) -> None:
        self._done[COUNTERS] += correct_counters(cursor, self._connection)

    def _fetch_events(self) -> None:
        """Copy the missing events from the topic, byte for byte."""
        partitions = EventPartitions(self._audit.own.events_days)
        for partition, low, high in self._connection.execute(query("load_partitions_to_repair")).fetchall():
            span = self._audit.span
            part = OffsetRange(span.topic, span.topic_id, {partition: low}, {partition: high}, span.lows)
            for messages in _picked(read_records(self._audit.kafka, part), self._wanted(partition)):
                readings, _ = self._audit.decoding.readings(messages)
                partitions.ensure(self._connection, days_of_ids(reading.event_id for reading in readings))
                self._transaction(lambda p=partition, r=readings: self._store(p, r))  # type: ignore[misc]

    def _wanted(self, partition: int) -> Iterator[int]:
        low = 0
        while True:
            where = {"partition": partition, "low": low, "limit": _OFFSETS_PER_QUERY}
            rows = self._connection.execute(query("load_offsets_to_repair"), where).fetchall()
            yield from (row[0] for row in rows)
            if len(rows) < _OFFSETS_PER_QUERY:
                return
            low = rows[-1][0] + 1

    def _store(self, partition: int, readings: list[DecodedEvent]) -> None:
        self._lock([partition])
        unique = {reading.fact.event_id: reading for reading in reversed(readings)}  # the first copy counts
        with self._connection.cursor() as cursor:
            for statement in ("delete_events", "delete_late_events"):
                cursor.execute(query(statement), {"ids": list(unique)})
            copy_rows(cursor, "copy_events", [reading.row for reading in unique.values()])
        self._done[EVENTS] += len(unique)

    def _repair_instances(self, instances: list[str]) -> None:
        """Derive some instances from the topic's facts, and write what differs from the rows."""
        execute = self._connection.execute
        owners = dict(execute(query("load_partitions_of_instances"), {"instances": instances}).fetchall())
        self._lock(list(owners.values()))
        result = execute(query("load_audit_facts_of_instances"), {"instances": instances}, binary=True)
        chunk = chunk_of(instances, result)
        with self._connection.cursor() as cursor:
            loaded = factsets.load_instances(cursor, owners)
            state = load_stored_sets(cursor, instances, loaded.sets.values())
            self._replace_facts(cursor, loaded, chunk, owners)
            folded, left, count = self._derive(cursor, loaded, state)
            cursor.execute(query("delete_requests_of_instances"), {"instances": instances})
            difference_writer.write_difference(cursor, folded, Counter())
        self._surplus = left
        self._done[INSTANCES] += len(instances)
        self._done[PUBLISHED] += count

    def _replace_facts(
        self, cursor: Cursor[Any], loaded: LoadedFacts, chunk: InstanceChunk, owners: dict[str, int]
    ) -> None:
        """Give each set the topic's facts; its facts outside the audited range stay."""
        decided = set(cursor.execute(query("load_decided_requests"), {"instances": chunk.instances}).fetchall())
        for key in chunk.sets.keys() - loaded.sets.keys():
            loaded.sets[key] = FactSet(key, owners[key[0]])
        more = [
            fact.event_id
            for key, item in loaded.sets.items()
            for fact in item.facts
            if fact.event_id not in {expected.event_id for expected in chunk.sets.get(key, ())}
        ]
        rows = cursor.execute(query("load_event_positions"), {"ids": more}) if more else ()
        positions = {event_id: (partition, offset) for event_id, partition, offset in rows}
        staying = {event_id for event_id in more if self._stays(event_id, positions.get(event_id))}
        for key, item in loaded.sets.items():
            item.replace([*chunk.sets.get(key, ()), *(fact for fact in item.facts if fact.event_id in staying)])
            item.has_decisions = item.has_decisions or key in decided
            item.changed = True

    def _stays(self, event_id: str, position: tuple[int, int] | None) -> bool:
        if position is None:
            return id_time_us(event_id) < self._audit.horizon.events_us
        span = self._audit.span
        return not span.holds(*position) or span.is_older(position[0], id_time_us(event_id))

    def _derive(
        self, cursor: Cursor[Any], loaded: LoadedFacts, state: StoredState
    ) -> tuple[Folded, dict[tuple[str, ...], int], int]:
        left, count = dict(self._surplus), 0
        instances = {key[0] for key in loaded.sets} | state.stored.keys()
        decisions = decisions_of(self._connection, sorted(instances))
        folded = Folded(loaded)
        empty = []
        for instance in sorted(instances):
            sets = [item for item in loaded.sets.values() if item.key[0] == instance]
            facts = [item.facts for item in sets if item.facts]
            difference = compute_difference(
                state.stored[instance], derive_sets(instance, facts, decisions.get(instance, ()))
            )
            _drop_unpublished(difference, state.published)
            moved = counted_after(difference)
            moved.subtract(state.counted[instance])
            difference.counter_deltas = unexplained_moves(moved, left)
            count += len(difference.publications)
            empty += assign_stored(sets, difference.stored)
            versions = {item.key[1]: item.version + 1 for item in sets}
            folded.changes.append(FoldedChange(instance, _partition(sets, state, instance), difference, versions))
        if empty:
            keys = [{"instance_uuid": item.key[0], "request_id": item.key[1]} for item in empty]
            cursor.execute(query("delete_fact_sets"), {"keys": as_json(keys)})
            for item in empty:
                del loaded.sets[item.key]
        return folded, left, count


def _partition(sets: Sequence[FactSet], state: StoredState, instance: str) -> int:
    return sets[0].partition if sets else state.partitions.get(instance, 0)


def _drop_unpublished(difference: Difference, published: set[str]) -> None:
    """Drop withdrawn subjects that were never published, and requests that never existed."""
    difference.publications = [
        one for one in difference.publications if one.record is not None or one.subject_id in published
    ]
    difference.stored = [
        one._replace(failures=()) if not one.outcome else one
        for one in difference.stored
        if one.outcome or one.announced == "withdrawn"
    ]


def _picked(batches: Iterator[list[Message]], wanted: Iterator[int]) -> Iterator[list[Message]]:
    """Yield the records of one partition whose offsets are wanted, both in order."""
    following = next(wanted, None)
    for batch in batches:
        result = []
        for message in batch:
            offset = message.offset()
            while following is not None and offset is not None and following < offset:
                following = next(wanted, None)
            if offset == following:
                result.append(message)
        if result:
            yield result
