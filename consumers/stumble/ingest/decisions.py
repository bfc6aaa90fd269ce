"""Turns the clock's findings into decisions, in the transaction of the partition's owner: checks, writes, derives."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stumble.ingest import factsets
from stumble.ingest.fold import Folded, decisions_on, derive_all
from stumble.outcome import evidence
from stumble.outcome.derive import open_cases
from stumble.outcome.interruption import was_interrupted
from stumble.outcome.records import IN_PROGRESS, INTERRUPTION, Decision
from stumble.store.json_rows import as_json
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg import Cursor

    from stumble.ingest.factsets import FactSet, LoadedFacts
    from stumble.outcome.decide import RequestCase


@dataclass(frozen=True, slots=True)
class ClockFinding:
    """A request in flight as the clock read it. ``evidence``: that of its decision, without the number of facts."""

    request_key: str
    instance: str
    request_id: str
    partition: int
    last_event_at: int
    kind: str
    evidence: Mapping[str, str]

    @property
    def identity(self) -> tuple[str, int, str]:
        """The key by which the clock remembers a rejected finding: a newer event makes it another finding."""
        return self.request_key, self.last_event_at, self.kind


@dataclass(frozen=True, slots=True)
class DecisionJob:
    """Findings to decide at ``now`` (UTC microseconds); ``positions``: the store's next offsets by partition."""

    positions: Mapping[int, int]
    findings: list[ClockFinding]
    now: int


def decide_findings(
    cursor: Cursor[Any], findings: Sequence[ClockFinding], now: int
) -> tuple[Folded, list[ClockFinding]]:
    """Decide the findings that still hold; return the changes that follow, and the findings that were decided."""
    loaded = factsets.load_facts(cursor, {(one.instance, one.request_id): one.partition for one in findings})
    made = _made(cursor, loaded, findings, now)
    if made:
        cursor.execute(query("add_decisions"), {"rows": as_json([_row(one, decision) for one, decision in made])})
    for finding, _ in made:
        fact_set = loaded.sets[finding.instance, finding.request_id]
        fact_set.has_decisions = fact_set.changed = True
    return derive_all(cursor, loaded), [finding for finding, _ in made]


def _made(
    cursor: Cursor[Any], loaded: LoadedFacts, findings: Iterable[ClockFinding], now: int
) -> list[tuple[ClockFinding, Decision]]:
    known = decisions_on(cursor, loaded.sets.values())
    wanted: dict[str, list[ClockFinding]] = defaultdict(list)
    for finding in findings:
        wanted[finding.instance].append(finding)
    made = []
    for instance, sets in loaded.groups():
        cases = _cases(instance, sets, known)
        for finding in wanted[instance]:
            case, last_decision = cases.pop(finding.request_key, (None, None))
            if case is not None and _holds(finding, case, last_decision):
                made.append((finding, _decision(finding, case, last_decision, now)))
    return made


def _cases(
    instance: str, sets: Sequence[FactSet], known: dict[str, list[Decision]]
) -> dict[str, tuple[RequestCase, Decision | None]]:
    stored = [one.request_key for item in sets for one in item.stored]
    return open_cases(instance, [item.facts for item in sets], [one for key in stored for one in known.get(key, ())])


def _holds(finding: ClockFinding, case: RequestCase, last_decision: Decision | None) -> bool:
    """Whether a finding still holds: no newer event or other decision, and an interruption did happen."""
    if case.group.facts[-1].at != finding.last_event_at:
        return False
    if finding.kind == IN_PROGRESS:
        return last_decision is not None and last_decision.evidence.get("cause") == evidence.SILENCE
    if last_decision is not None and last_decision.kind != IN_PROGRESS:
        return False
    if finding.kind != INTERRUPTION:
        return True
    return was_interrupted(case, finding.evidence["host"], int(finding.evidence["since"]))


def _decision(finding: ClockFinding, case: RequestCase, last_decision: Decision | None, now: int) -> Decision:
    evidence = {**finding.evidence, "facts": str(len(case.group.facts))}
    # Other clocks may be ahead of this one: a decision is never older than its last event or the decision before it.
    earliest = max(finding.last_event_at, last_decision.decided_at + 1 if last_decision is not None else 0)
    return Decision(finding.request_key, finding.kind, max(now, earliest), evidence)


def _row(finding: ClockFinding, decision: Decision) -> dict[str, Any]:
    return {
        "request_key": decision.request_key,
        "kind": decision.kind,
        "decided_at": decision.decided_at,
        "evidence": dict(decision.evidence),
        "instance_uuid": finding.instance,
        "request_id": finding.request_id,
        "kafka_partition": finding.partition,
    }
