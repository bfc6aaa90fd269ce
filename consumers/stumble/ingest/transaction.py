"""The one transaction that makes all changes of a batch.

It contains the compare and swap of the offsets, the new events, the facts and what follows from them, counters and
publications: all or nothing. A projector that has lost a partition fails the comparison and changes nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stumble.ingest import difference_writer, factsets, sightings
from stumble.ingest.decisions import decide_findings
from stumble.ingest.difference_writer import Counts
from stumble.ingest.errors import FencedError
from stumble.ingest.fold import Folded, derive_all, fold_facts
from stumble.outcome.diff import REQUESTS
from stumble.store.adapters import UuidArray
from stumble.store.copying import copy_rows, uuid_array
from stumble.store.partitions import EventPartitions, days_of_ids
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from psycopg import Connection, Cursor

    from stumble.ingest.batch import Batch, OffsetSpan
    from stumble.ingest.decisions import ClockFinding, DecisionJob
    from stumble.ingest.decoding import DecodedEvent
    from stumble.ingest.sightings import Added

_DAY_US = 86_400_000_000
#: Counters of the store that no difference changes.
LATE_EVENTS = "late_events"
REPLACED_TIMES = "replaced_times"
#: A writer that sends nothing for this long in a transaction that others wait for is stopped or dead.
_STOPPED_SECONDS = 3.0
#: Window of a sweep that checks all sightings, seconds: a century.
ALL_SIGHTINGS = 3.2e9


@dataclass(slots=True)
class WriteSummary:
    """What one transaction did."""

    events: int = 0
    duplicates: int = 0
    late: int = 0
    #: Partition to the next offset in the store.
    offsets: dict[int, int] = field(default_factory=dict)
    #: Action, outcome, seconds and request id of requests that ended.
    durations: list[tuple[str, str, float, str | None]] = field(default_factory=list)
    #: Seconds from emitting to storing, of the last event of each partition.
    lags: list[float] = field(default_factory=list)
    #: New events whose time was replaced, and new late events.
    misdated: list[DecodedEvent] = field(default_factory=list)

    def add(self, other: WriteSummary) -> None:
        """Add what another transaction of the same batch did."""
        for name in ("events", "duplicates", "late"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.offsets.update(other.offsets)
        self.durations += other.durations
        self.lags += other.lags
        self.misdated += other.misdated


@dataclass(slots=True)
class StoreWriter:
    """Writes batches of one topic into one store. `topic_id` is Kafka's id of the topic as it is now."""

    topic: str
    topic_id: str
    partitions: EventPartitions
    requests_days: int = 400
    sighting_patience_seconds: float = 3600.0

    def apply(self, connection: Connection[Any], batch: Batch) -> WriteSummary:
        """Write a batch.

        Raises `FencedError` for partitions whose stored offset is not the batch's start, `MissedVersionError`, and
        psycopg's errors; then nothing is changed.
        """
        self.partitions.ensure(connection, days_of_ids(reading.event_id for reading in batch.readings))
        applied = WriteSummary(offsets={p: span.end for p, span in batch.spans.items()})
        with self._fenced(connection, batch.spans) as cursor:
            self._move(cursor, batch.spans)
            counts: Counts = Counter()
            fresh = self._fresh(cursor, batch, applied, counts)
            folded, joins = self._fold(cursor, fresh)
            sightings.mark_joined(cursor, joins)
            difference_writer.write_difference(cursor, folded, counts)
        applied.events = len(fresh)
        applied.durations = _durations(folded)
        applied.lags = _lags(fresh)
        return applied

    def sweep(
        self, connection: Connection[Any], positions: Mapping[int, int], window_seconds: float = ALL_SIGHTINGS
    ) -> int:
        """Join the sightings that wait for the owned partitions (partition to next offset); return how many.

        Only sightings that changed within `window_seconds` are checked. Raises the errors of `apply`.
        """
        with connection.cursor() as cursor:
            self._compare(cursor, positions)  # without new records only this detects a moved offset
            sightings.settle_joins(cursor, positions)
            if not sightings.find_joins(cursor, positions, window_seconds):
                return 0
        with self._fenced(connection, positions) as cursor:
            self._compare(cursor, positions)
            result = sightings.find_joins(cursor, positions, window_seconds)
            loaded = factsets.load_facts(cursor, _partitions_of(result))
            for key, (_, facts) in result.added.items():
                loaded.sets[key].add(facts)
            for key, (_, event_ids) in result.released.items():
                loaded.sets[key].remove(event_ids)
            folded = derive_all(cursor, loaded)
            sightings.mark_joined(cursor, result.joins)
            sightings.release_sightings(cursor, result.released)
            difference_writer.write_difference(cursor, folded, Counter())
            return len(result.joins)

    def decide(self, connection: Connection[Any], job: DecisionJob) -> list[ClockFinding]:
        """Decide the clock's findings; return those that still held.

        Raises `FencedError` where the store's offsets are not the job's positions, and `MissedVersionError`.
        """
        with self._fenced(connection, job.positions) as cursor:
            self._compare(cursor, job.positions)
            folded, made = decide_findings(cursor, job.findings, job.now)
            difference_writer.write_difference(cursor, folded, Counter())
            return made

    @contextmanager
    def _fenced(self, connection: Connection[Any], partitions: Iterable[int]) -> Iterator[Cursor[Any]]:
        """Run a transaction that holds the locks of `partitions`."""
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(query("lock_partitions"), {"topic": self.topic, "partitions": sorted(partitions)})
            yield cursor

    def _move(self, cursor: Cursor[Any], spans: Mapping[int, OffsetSpan]) -> None:
        order = sorted(spans)
        moved = cursor.execute(
            query("advance_offsets"),
            {
                "topic": self.topic,
                "topic_id": self.topic_id,
                "partitions": order,
                "expected": [spans[partition].start for partition in order],
                "offsets": [spans[partition].end for partition in order],
                "last_record_at": [_time(spans[partition].last_record_at) for partition in order],
                "leader_epochs": [spans[partition].leader_epoch for partition in order],
            },
        ).fetchall()
        if len(moved) != len(order):
            raise FencedError(set(order) - {row[0] for row in moved})

    def _compare(self, cursor: Cursor[Any], positions: Mapping[int, int]) -> None:
        rows = cursor.execute(query("load_offsets"), {"topic": self.topic, "partitions": list(positions)}).fetchall()
        result = {p: offset for p, topic_id, offset, is_noted in rows if topic_id == self.topic_id and is_noted}
        if result != positions:
            raise FencedError(p for p, offset in positions.items() if result.get(p) != offset)

    def _fresh(self, cursor: Cursor[Any], batch: Batch, applied: WriteSummary, counts: Counts) -> list[DecodedEvent]:
        """Return the readings whose events the store doesn't have; store late ones in `late_events` instead."""
        unique = {reading.event_id: reading for reading in reversed(batch.readings)}
        known = _known(cursor, "load_known_events", unique)
        fresh = [reading for event_id, reading in reversed(unique.items()) if event_id not in known]
        applied.duplicates = len(batch.readings) - len(fresh)
        applied.misdated = [reading for reading in fresh if reading.claimed_at is not None]
        for reading in applied.misdated:
            counts[reading.partition, REPLACED_TIMES, ()] += 1
        cutoff = time.time_ns() // 1000 - self.requests_days * _DAY_US
        late = {reading.event_id: reading for reading in fresh if reading.occurred_at < cutoff}
        if not late:
            return fresh
        seen = _known(cursor, "load_known_late_events", late)
        new = [reading for event_id, reading in late.items() if event_id not in seen]
        copy_rows(cursor, "copy_late_events", [reading.row for reading in new])
        applied.late = len(new)
        applied.misdated += new
        for reading in new:
            counts[reading.partition, LATE_EVENTS, ()] += 1
        return [reading for reading in fresh if reading.event_id not in late]

    def _fold(self, cursor: Cursor[Any], fresh: list[DecodedEvent]) -> tuple[Folded, list[tuple[str, str, int]]]:
        added: Added = {}
        alone = []
        for reading in fresh:
            if reading.instance is not None:
                key = (reading.instance, reading.request_id or "")
                added.setdefault(key, (reading.partition, []))[1].append(reading.fact)
            elif reading.request_id is not None and reading.fact.failure is not None:
                alone.append(reading)
        sightings.store_sightings(cursor, alone, self.sighting_patience_seconds)
        joins = sightings.join_touched(cursor, added)
        return fold_facts(cursor, added, [reading.row for reading in fresh]), joins


def end_stopped_writers(connection: Connection[Any], topic: str) -> list[str]:
    """End the sessions of writers of a topic that were stopped in a transaction; return their names."""
    parameters = {"topic": topic, "seconds": _STOPPED_SECONDS}
    return [name for _, name in connection.execute(query("end_stopped_writers"), parameters)]


def _known(cursor: Cursor[Any], statement: str, ids: Iterable[bytes]) -> set[bytes]:
    array = uuid_array(ids)
    return {row[0] for row in cursor.execute(query(statement), {"ids": UuidArray(array)})}


def _partitions_of(sweep: sightings.SweepResult) -> dict[factsets.SetKey, int]:
    return {key: partition for part in (sweep.added, sweep.released) for key, (partition, _) in part.items()}


def _durations(folded: Folded) -> list[tuple[str, str, float, str | None]]:
    """Return action, outcome, duration and request id of requests that reached an outcome in this fold."""
    return [
        (
            record.action or "other",
            record.outcome,
            max(0.0, (record.finished_at - record.started_at) / 1e6),
            record.request_id,
        )
        for change in folded.changes
        for record in change.difference.upsert_requests
        if record.finished_at is not None
        and record.started_at is not None
        and (REQUESTS, record.action or "other", record.outcome) in change.difference.counter_deltas
    ]


def _lags(fresh: list[DecodedEvent]) -> list[float]:
    now = time.time_ns() // 1000
    last = {reading.partition: reading.emitted_at for reading in fresh}
    return [max(0.0, (now - emitted_at) / 1e6) for emitted_at in last.values()]


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC)
