"""Derives what the store must hold from facts, with the projector's own derivation and difference."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stumble.outcome.derive import derive_sets
from stumble.outcome.diff import Difference, StoredRequest, compute_difference
from stumble.outcome.facts import Fact, has_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stumble.ingest.factsets import FactSet, SetKey
    from stumble.outcome.records import Decision

Facts = tuple[Fact, ...]


@dataclass(slots=True)
class DerivedGroup:
    """Fact sets of one instance that are derived together, and what is derived."""

    instance: str
    keys: list[SetKey]
    difference: Difference


@dataclass(slots=True)
class InstanceChunk:
    """Some whole instances: the topic's facts of each fact set, and the partition of each instance."""

    instances: list[str] = field(default_factory=list)
    sets: dict[SetKey, Facts] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)

    def partition_of(self, instance: str) -> int:
        """Return the partition of an instance; 0 if no record names the instance itself."""
        return self.partitions.get(instance, 0)


def derive_groups(
    sets: Mapping[SetKey, Facts],
    decisions: Mapping[str, Sequence[Decision]],
    context: Iterable[SetKey] = (),
) -> list[DerivedGroup]:
    """Derive sets as the projector groups them: all sets of an instance with context together, else each alone.

    `context` names sets that once had context.
    """
    whole = {key[0] for key, facts in sets.items() if has_context(facts)} | {key[0] for key in context}
    grouped: dict[SetKey, list[SetKey]] = defaultdict(list)
    for key in sets:
        grouped[(key[0], "") if key[0] in whole else key].append(key)
    return [
        DerivedGroup(
            keys[0][0],
            keys,
            compute_difference((), derive_sets(keys[0][0], [sets[key] for key in keys], decisions.get(keys[0][0], ()))),
        )
        for keys in grouped.values()
    ]


def assign_stored(sets: Sequence[FactSet], stored: Iterable[StoredRequest]) -> list[FactSet]:
    """Assign to each set of an instance what is stored of its requests; return the sets that are empty now."""
    result: dict[str, list[StoredRequest]] = {item.key[1]: [] for item in sets}
    for one in stored:
        if sets:
            result.get(one.request_id or "", result[sets[0].key[1]]).append(one)
    for item in sets:
        item.stored = tuple(result[item.key[1]])
    return [item for item in sets if not item.facts and not item.stored]
