"""From findings to decisions, inside the transaction of the partition's owner: looked at again, written, derived."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from stumble.clock.findings import INTERRUPTED, Finding
from stumble.ingest import factsets
from stumble.ingest.fold import Folded, decisions_on, derive_all
from stumble.ingest.rows import as_json
from stumble.outcome import evidence
from stumble.outcome.derive import open_cases
from stumble.outcome.interruption import interrupted
from stumble.outcome.records import IN_PROGRESS, Decision
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Cursor

    from stumble.ingest.factsets import FactSet, Loaded
    from stumble.outcome.decide import Case


def rule(cursor: Cursor[Any], findings: Sequence[Finding], now: int) -> tuple[Folded, list[Finding]]:
    """Decide upon what is still as it was found; return what follows from it, and what was decided upon."""
    loaded = factsets.load(cursor, {(one.instance, one.request_id): one.partition for one in findings})
    made = _made(cursor, loaded, findings, now)
    if made:
        cursor.execute(query("add_decisions"), {"rows": as_json([_row(one, decision) for one, decision in made])})
    for finding, _ in made:
        fact_set = loaded.sets[finding.instance, finding.request_id]
        fact_set.has_decisions = fact_set.changed = True
    return derive_all(cursor, loaded), [finding for finding, _ in made]


def _made(cursor: Cursor[Any], loaded: Loaded, findings: Iterable[Finding], now: int) -> list[tuple[Finding, Decision]]:
    known = decisions_on(cursor, loaded.sets.values())
    wanted: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        wanted[finding.instance].append(finding)
    made = []
    for instance, sets in loaded.groups():
        cases = _cases(instance, sets, known)
        for finding in wanted[instance]:
            case, standing = cases.pop(finding.request_key, (None, None))
            if case is not None and _holds(finding, case, standing):
                made.append((finding, _decision(finding, case, standing, now)))
    return made


def _cases(
    instance: str, sets: Sequence[FactSet], known: dict[str, list[Decision]]
) -> dict[str, tuple[Case, Decision | None]]:
    stored = [one.request_key for item in sets for one in item.stored]
    return open_cases(instance, [item.facts for item in sets], [one for key in stored for one in known.get(key, ())])


def _holds(finding: Finding, case: Case, standing: Decision | None) -> bool:
    """Tell whether it is still as it was found: no news since, none else decided, really interrupted by a restart."""
    if case.group.facts[-1].at != finding.last_event_at:
        return False
    if finding.kind == IN_PROGRESS:
        return standing is not None and standing.evidence.get("cause") == evidence.SILENCE
    if standing is not None and standing.kind != IN_PROGRESS:
        return False
    if finding.kind != INTERRUPTED:
        return True
    return interrupted(case, finding.told["host"], int(finding.told["since"]))


def _decision(finding: Finding, case: Case, standing: Decision | None, now: int) -> Decision:
    told = {**finding.told, "facts": str(len(case.group.facts))}
    # Clocks may be ahead of ours: a decision is never older than what it was made upon, nor than the one before it.
    earliest = max(finding.last_event_at, standing.decided_at + 1 if standing is not None else 0)
    return Decision(finding.request_key, finding.kind, max(now, earliest), told)


def _row(finding: Finding, decision: Decision) -> dict[str, Any]:
    return {
        "request_key": decision.request_key,
        "kind": decision.kind,
        "decided_at": decision.decided_at,
        "evidence": dict(decision.evidence),
        "instance_uuid": finding.instance,
        "request_id": finding.request_id,
        "kafka_partition": finding.partition,
    }
