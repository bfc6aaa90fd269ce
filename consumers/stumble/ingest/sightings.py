"""Sightings without an instance: the projector that reads one stores it, the owner of the instance joins it.

A sighting fits when exactly one instance has its request id. The owner of that instance's partition adds its fact to
the instance's set, when it folds the request id and in a sweep every second. If another instance with the request id
appears before the deadline, the fact is removed again: so the order of reading does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stumble.ingest.errors import MissedVersionError
from stumble.outcome.facts import Fact, pack_facts, unpack_facts
from stumble.store.json_rows import as_json
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg import Cursor

    from stumble.ingest.decoding import DecodedEvent
    from stumble.ingest.factsets import SetKey

#: Facts to add, by the set that they belong to, with the Kafka partition of the set's instance.
Added = dict["SetKey", tuple[int, list[Fact]]]


@dataclass(slots=True)
class SweepResult:
    """The waiting sightings that the owned partitions join, and the joined ones that they release."""

    joins: list[tuple[str, str, int]] = field(default_factory=list)
    added: Added = field(default_factory=dict)
    #: Event ids to remove from the sets that they were joined to.
    released: dict[SetKey, tuple[int, list[str]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.joins or self.released)


def store_sightings(cursor: Cursor[Any], readings: Sequence[DecodedEvent], patience_seconds: float) -> None:
    """Store sightings: failures with a request id and no instance."""
    rows = [
        {
            "event_id": reading.fact.event_id,
            "request_id": reading.request_id,
            "occurred_us": reading.occurred_at,
            "host": reading.fact.origin.host,
            "exception": reading.fact.failure.exception if reading.fact.failure else None,
            "fact": "\\x" + pack_facts([reading.fact]).hex(),
            "kafka_partition": reading.partition,
        }
        for reading in readings
    ]
    if rows:
        cursor.execute(query("add_sightings"), {"rows": as_json(rows), "patience": patience_seconds})


def join_touched(cursor: Cursor[Any], added: Added) -> list[tuple[str, str, int]]:
    """Add to `added` the sightings that fit one of its request ids; returns the joins to mark."""
    touched: dict[str, dict[str, int]] = defaultdict(dict)
    for (instance, request_id), (partition, _) in added.items():
        if request_id:
            touched[request_id][instance] = partition
    if not touched:
        return []
    waiting = cursor.execute(query("load_sightings_of_requests"), {"request_ids": list(touched)}).fetchall()
    if not waiting:
        return []
    ids = list({row[1] for row in waiting})
    known: dict[str, dict[str, int]] = defaultdict(dict)
    for request_id, instance, partition in cursor.execute(query("load_instances_of_requests"), {"request_ids": ids}):
        known[request_id][instance] = partition
    sweep = SweepResult(added=added)
    contested = []
    for event_id, request_id, fact, state, joined in waiting:
        fitting = {**known[request_id], **touched[request_id]}
        if state == "UNJOINED" and len(fitting) == 1:
            _join(sweep, event_id, (next(iter(fitting)), request_id), next(iter(fitting.values())), fact)
        elif state == "JOINED" and fitting.keys() - {joined}:
            contested.append(event_id)
    if contested:
        cursor.execute(query("mark_ambiguous_sightings"), {"ids": contested})
    return sweep.joins


def find_joins(cursor: Cursor[Any], owned: Iterable[int], window_seconds: float) -> SweepResult:
    """Find the sightings that the owned partitions can join, and those that they must release.

    Only sightings that changed within the last `window_seconds`: the fold has handled the older ones.
    """
    partitions = set(owned)
    fitting: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in cursor.execute(query("load_joinable_sightings"), {"window": window_seconds}):
        fitting[row[0]].append(row)
    sweep = SweepResult()
    for event_id, rows in fitting.items():
        _, request_id, fact, instance, partition = rows[0]
        if len({row[3] for row in rows}) == 1 and partition in partitions:
            _join(sweep, event_id, (instance, request_id), partition, fact)
    for event_id, request_id, instance, partition in cursor.execute(
        query("load_ambiguous_sightings"), {"partitions": list(partitions), "window": window_seconds}
    ):
        sweep.released.setdefault((instance, request_id), (partition, []))[1].append(event_id)
    return sweep


def mark_joined(cursor: Cursor[Any], joins: Sequence[tuple[str, str, int]]) -> None:
    """Mark sightings as joined; raises `MissedVersionError` when another writer has joined one."""
    if not joins:
        return
    ids, instances, partitions = (list(column) for column in zip(*joins, strict=True))
    cursor.execute(query("join_sightings"), {"ids": ids, "instances": instances, "partitions": partitions})
    if cursor.rowcount != len(joins):
        raise MissedVersionError("Another writer joined a sighting.")


def release_sightings(cursor: Cursor[Any], released: Mapping[SetKey, tuple[int, list[str]]]) -> None:
    """Mark sightings as waiting again."""
    ids = [event_id for _, event_ids in released.values() for event_id in event_ids]
    if ids:
        cursor.execute(query("release_sightings"), {"ids": ids})


def settle_joins(cursor: Cursor[Any], owned: Iterable[int]) -> None:
    """Close the sightings whose deadline is over: they stay joined, or expire."""
    cursor.execute(query("close_sightings"), {"partitions": list(owned)})


def _join(sweep: SweepResult, event_id: str, key: SetKey, partition: int, fact: bytes) -> None:
    sweep.added.setdefault(key, (partition, []))[1].extend(unpack_facts(fact))
    sweep.joins.append((event_id, key[0], partition))
