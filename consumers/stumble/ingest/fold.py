"""Turns new facts into the difference to write to the store: union, derive, diff."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stumble.ingest import factsets
from stumble.outcome.derive import derive_sets
from stumble.outcome.diff import Difference, StoredRequest, compute_difference
from stumble.outcome.records import Decision
from stumble.store.copying import copy_rows, copying
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg import Cursor

    from stumble.ingest.factsets import FactSet, LoadedFacts, SetKey
    from stumble.outcome.facts import Fact


#: The server gets more rows to store after this many groups of fact sets.
_HAND_OVER_EVERY = 32


@dataclass(slots=True)
class FoldedChange:
    """The difference of one group of fact sets of an instance."""

    instance: str
    partition: int
    difference: Difference
    #: Versions that the sets will have, by request id: their requests are written with them.
    versions: dict[str, int]


@dataclass(slots=True)
class Folded:
    """The loaded fact sets, and the differences that follow from them."""

    loaded: LoadedFacts
    changes: list[FoldedChange] = field(default_factory=list)


def fold_facts(cursor: Cursor[Any], added: Mapping[SetKey, tuple[int, list[Fact]]], rows: Sequence[bytes]) -> Folded:
    """Add facts to their sets (key to partition and facts), derive the touched sets, return the differences.

    The server stores `rows` of `events` meanwhile.
    """
    if not added:
        copy_rows(cursor, "copy_events", rows)
        return Folded(factsets.LoadedFacts())
    loaded = factsets.load_facts(cursor, {key: partition for key, (partition, _) in added.items()})
    for key, (_, facts) in added.items():
        loaded.sets[key].add(facts)
    factsets.load_whole(cursor, loaded, sorted({key[0] for key in added if loaded.sets[key].has_context}))
    return derive_all(cursor, loaded, rows=rows)


def derive_all(
    cursor: Cursor[Any], loaded: LoadedFacts, *, everything: bool = False, rows: Sequence[bytes] = ()
) -> Folded:
    """Derive the loaded sets that changed (or `everything`); return the differences from what is stored.

    While this process derives, the server stores `rows` of `events`.
    """
    folded = Folded(loaded)
    decisions = decisions_on(cursor, loaded.sets.values())
    with copying(cursor, "copy_events", rows) as more:
        for number, (instance, sets) in enumerate(loaded.groups()):
            if number % _HAND_OVER_EVERY == 0:
                more()
            if everything or any(item.changed for item in sets):
                folded.changes.append(_change(instance, sets, decisions))
    return folded


def _change(instance: str, sets: Sequence[FactSet], decisions: Mapping[str, list[Decision]]) -> FoldedChange:
    stored: Sequence[StoredRequest] = sets[0].stored if len(sets) == 1 else [o for item in sets for o in item.stored]
    ruled = [decision for one in stored for decision in decisions.get(one.request_key, ())] if decisions else ()
    difference = compute_difference(stored, derive_sets(instance, [item.facts for item in sets], ruled))
    _assign_stored(sets, difference.stored)
    versions = {item.key[1]: item.version + 1 for item in sets}
    return FoldedChange(instance, sets[0].partition, difference, versions)


def _assign_stored(sets: Sequence[FactSet], stored: Iterable[StoredRequest]) -> None:
    """Assign to each set what is stored of its requests from now on."""
    result: dict[str, list[StoredRequest]] = {item.key[1]: [] for item in sets}
    for one in stored:
        result.get(one.request_id or "", result[sets[0].key[1]]).append(one)
    for item in sets:
        now = tuple(result[item.key[1]])
        if now != item.stored:
            item.stored = now
            item.changed = True


def decisions_on(cursor: Cursor[Any], sets: Iterable[FactSet]) -> dict[str, list[Decision]]:
    """Return what was decided on the requests of fact sets, by request key."""
    keys = [one.request_key for item in sets if item.has_decisions for one in item.stored]
    result: dict[str, list[Decision]] = defaultdict(list)
    if keys:
        for key, kind, decided_at, evidence in cursor.execute(query("load_decisions"), {"keys": keys}):
            result[key].append(Decision(key, kind, decided_at, evidence))
    return result
