"""What a replay writes: workers derive whole instances, and one session writes all of them in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stumble.audit.expected import assign_stored, derive_groups
from stumble.audit.instance_chunks import chunk_of
from stumble.ingest.difference_writer import statements_of
from stumble.ingest.factsets import FactSet, LoadedFacts
from stumble.ingest.fold import Folded, FoldedChange
from stumble.outcome.facts import has_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stumble.audit.instance_chunks import InstanceRows
    from stumble.ingest.statements import WriteStatement
    from stumble.outcome.records import Decision


@dataclass(slots=True, frozen=True)
class DecidedRows:
    """Some whole instances, and the decisions on them."""

    rows: InstanceRows
    decisions: Mapping[str, list[Decision]]


def derive_statements(decided: DecidedRows) -> list[WriteStatement]:
    """Return the statements that write all that is derived for some instances, of which nothing is stored yet."""
    return list(statements_of(_folded(decided), Counter()))


def _folded(decided: DecidedRows) -> Folded:
    """Derive whole instances of which nothing is stored."""
    chunk = chunk_of(decided.rows.instances, decided.rows.rows)
    with_decision = {one.request_key for decisions in decided.decisions.values() for one in decisions}
    loaded = LoadedFacts(
        {key: FactSet(key, chunk.partition_of(key[0]), facts, changed=True) for key, facts in chunk.sets.items()}
    )
    result = Folded(loaded)
    for group in derive_groups(chunk.sets, decided.decisions):
        sets = [loaded.sets[key] for key in group.keys]
        assign_stored(sets, group.difference.stored)
        versions = dict.fromkeys((key[1] for key in group.keys), 1)
        result.changes.append(
            FoldedChange(group.instance, chunk.partition_of(group.instance), group.difference, versions)
        )
    for item in loaded.sets.values():
        item.has_context = has_context(item.facts)
        item.has_decisions = any(one.request_key in with_decision for one in item.stored)
    return result
