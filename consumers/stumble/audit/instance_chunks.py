"""Reads the staging tables by instance, each with all its facts in the topic."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stumble.audit.expected import InstanceChunk
from stumble.outcome.facts import Fact, merge_facts, unpack_facts
from stumble.outcome.records import Decision
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from psycopg import Connection

    from stumble.ingest.factsets import SetKey

#: Limits of a chunk: instances, and rows of their facts; a row has about five facts.
INSTANCES = 200
ROWS = 1000
#: Rows per fetch from the server.
_FETCHED = 1000
_FIRST = "00000000-0000-0000-0000-000000000000"
#: Instance, request id, partition (None where the record has no instance of its own), packed facts.
Row = tuple[str, str, int | None, bytes]


@dataclass(slots=True, frozen=True)
class InstanceRows:
    """Some whole instances, and all their staged rows."""

    instances: list[str]
    rows: list[Row]


def read_instance_chunks(
    connection: Connection[Any], instances: int = INSTANCES, rows: int = ROWS
) -> Iterator[InstanceRows]:
    """Yield all instances in order, some at a time; needs one transaction for its server-side cursor."""
    with connection.cursor("load_audit_facts", binary=True) as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(query("load_audit_facts"))
        remaining = iter(cursor)
        waiting: Row | None = next(remaining, None)
        names: list[str] = []
        result: list[Row] = []
        for name in _instances(connection):
            names.append(name)
            while waiting is not None and waiting[0] <= name:
                result.append(waiting)
                waiting = next(remaining, None)
            if len(names) >= instances or len(result) >= rows:
                yield InstanceRows(names, result)
                names, result = [], []
        if names:
            yield InstanceRows(names, result)


def chunk_of(instances: Sequence[str], rows: Iterable[Row]) -> InstanceChunk:
    """Combine rows of facts about some instances; of copies of an event that differ, the first counts."""
    facts: dict[SetKey, dict[str, Fact]] = defaultdict(dict)
    chunk = InstanceChunk(list(instances))
    for instance, request_id, partition, packed in rows:
        known = facts[instance, request_id]
        for fact in unpack_facts(packed):
            known.setdefault(fact.event_id, fact)
        if partition is not None:
            chunk.partitions[instance] = max(partition, chunk.partitions.get(instance, 0))
    chunk.sets = {key: merge_facts((), item.values()) for key, item in facts.items()}
    return chunk


def _instances(connection: Connection[Any]) -> Iterator[str]:
    after = _FIRST
    while rows := connection.execute(query("load_chosen_instances"), {"after": after, "limit": _FETCHED}).fetchall():
        yield from (row[0] for row in rows)
        after = rows[-1][0]


def decisions_of(
    connection: Connection[Any], instances: Sequence[str], until: datetime | None = None
) -> dict[str, list[Decision]]:
    """Return the decisions on instances up to a time; an audit does not check them."""
    result: dict[str, list[Decision]] = defaultdict(list)
    rows = connection.execute(query("load_decisions_of_instances"), {"instances": list(instances), "until": until})
    for instance, key, kind, decided_at, evidence in rows:
        result[instance].append(Decision(key, kind, decided_at, evidence))
    return result
