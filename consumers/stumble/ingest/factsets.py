"""Fact sets: loading those that a batch touches, adding facts, saving them with their version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stumble.ingest.errors import NulTextError
from stumble.ingest.statements import WriteStatement
from stumble.outcome.diff import StoredRequest, pack_stored, unpack_stored
from stumble.outcome.facts import Fact, has_context, merge_facts, pack_facts, unpack_facts
from stumble.store.adapters import ByteaArray
from stumble.store.copying import bytea_array
from stumble.store.json_rows import as_json
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg import Cursor

#: (instance uuid, request id); the request id '' is that of facts about the instance itself.
SetKey = tuple[str, str]
#: How orjson writes a NUL.
_NUL = b"\\u0000"


@dataclass(slots=True)
class FactSet:
    """All facts of one (instance, request id). `version` is 0 while the set is not stored."""

    key: SetKey
    partition: int
    facts: tuple[Fact, ...] = ()
    stored: tuple[StoredRequest, ...] = ()
    has_context: bool = False
    has_decisions: bool = False
    version: int = 0
    changed: bool = False

    def add(self, facts: Iterable[Fact]) -> None:
        """Add facts by set union: a fact that is already in the set changes nothing."""
        known = self.facts
        self.facts = merge_facts(known, facts)
        if self.facts != known:
            self.changed = True
            self.has_context = self.has_context or has_context(self.facts)

    def replace(self, facts: Iterable[Fact]) -> None:
        """Replace the facts by others."""
        before = self.facts
        self.facts = merge_facts((), facts)
        self.changed = self.changed or self.facts != before
        self.has_context = self.has_context or has_context(self.facts)

    def remove(self, event_ids: Iterable[str]) -> None:
        """Remove facts of sightings that turn out to fit more than one instance."""
        removed = set(event_ids)
        self.replace(fact for fact in self.facts if fact.event_id not in removed)


@dataclass(slots=True)
class LoadedFacts:
    """The loaded fact sets, and the instances of which all sets are loaded."""

    sets: dict[SetKey, FactSet] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)

    def groups(self) -> list[tuple[str, list[FactSet]]]:
        """Return what is derived together: all sets of a whole instance, else each touched set alone."""
        grouped: dict[SetKey, list[FactSet]] = {}
        for key, fact_set in self.sets.items():
            grouped.setdefault((key[0], "") if key[0] in self.whole else key, []).append(fact_set)
        return [(sets[0].key[0], sets) for sets in grouped.values()]


def load_facts(cursor: Cursor[Any], touched: Mapping[SetKey, int]) -> LoadedFacts:
    """Load the touched sets (key to Kafka partition) and all sets of instances that hold context facts."""
    loaded = LoadedFacts({key: FactSet(key, partition) for key, partition in touched.items()})
    keys = as_json([{"instance_uuid": instance, "request_id": request_id} for instance, request_id in touched])
    for row in cursor.execute(query("load_fact_sets"), {"keys": keys}):
        _fill(loaded, row)
    rows = cursor.execute(query("load_instances_with_context"), {"keys": keys}).fetchall()
    load_whole(cursor, loaded, [row[0] for row in rows])
    return loaded


def load_whole(cursor: Cursor[Any], loaded: LoadedFacts, instances: Sequence[str]) -> None:
    """Load every set of `instances` that is not loaded yet."""
    missing = [instance for instance in instances if instance not in loaded.whole]
    if not missing:
        return
    partitions = {key[0]: fact_set.partition for key, fact_set in loaded.sets.items()}
    for row in cursor.execute(query("load_fact_sets_of_instances"), {"instances": missing}):
        key = (row[0], row[1])
        if key not in loaded.sets:
            loaded.sets[key] = FactSet(key, partitions[key[0]])
            _fill(loaded, row)
    loaded.whole.update(missing)


def load_instances(cursor: Cursor[Any], owners: Mapping[str, int]) -> LoadedFacts:
    """Load every set of whole instances (instance to Kafka partition)."""
    loaded = LoadedFacts()
    for row in cursor.execute(query("load_fact_sets_of_instances"), {"instances": list(owners)}):
        key = (row[0], row[1])
        loaded.sets[key] = FactSet(key, owners[key[0]])
        _fill(loaded, row)
    contexts = {key[0] for key, item in loaded.sets.items() if item.has_context}
    loaded.whole.update(contexts)
    return loaded


def save_statements(sets: Iterable[FactSet]) -> Iterator[WriteStatement]:
    """Yield the statement that writes changed sets, if any; a set with a newer version in the store is not written.

    Raises `NulTextError`.
    """
    changed = [fact_set for fact_set in sets if fact_set.changed]
    if not changed:
        return
    packed = [pack_facts(item.facts) for item in changed]
    if any(_NUL in item for item in packed):
        raise NulTextError("A fact contains a NUL character, which PostgreSQL's text cannot store.")
    parameters = {
        "rows": as_json([_row(item) for item in changed]),
        "facts": ByteaArray(bytea_array(packed)),
        "stored": ByteaArray(bytea_array([pack_stored(item.stored) for item in changed])),
    }
    yield WriteStatement("save_fact_sets", parameters, len(changed), "fact sets")


def _row(item: FactSet) -> dict[str, Any]:
    return {
        "instance_uuid": item.key[0],
        "request_id": item.key[1],
        "has_context": item.has_context,
        "has_decisions": item.has_decisions,
        "version": item.version + 1,
        "kafka_partition": item.partition,
    }


def _fill(loaded: LoadedFacts, row: tuple[Any, ...]) -> None:
    key = (row[0], row[1])
    fact_set = loaded.sets[key]
    fact_set.facts = unpack_facts(row[2])
    fact_set.stored = unpack_stored(row[3])
    fact_set.has_context, fact_set.has_decisions, fact_set.version = row[4], row[5], row[6]
