"""Derives the request records of one instance from its facts and from decisions about it.

The derivation is a pure function of the *set* of facts: facts are sorted before they are used, so the order, duplicates
and batches of their arrival do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stumble.outcome import evidence, signals
from stumble.outcome.attempts import attempt_of, numbered_attempts
from stumble.outcome.cancellation import apply_instance_events
from stumble.outcome.decide import RequestCase
from stumble.outcome.deciding_rule import DecidingRule
from stumble.outcome.effect import effect_of
from stumble.outcome.facts import EventOrigin, Fact, FactSighting, merge_facts
from stumble.outcome.failures import FailureCluster, root_of
from stumble.outcome.fingerprint import fingerprint_of
from stumble.outcome.grouping import RequestGroup, split_requests
from stumble.outcome.records import (
    EFFECT_NONE,
    FAILED,
    IN_PROGRESS,
    INTERRUPTED,
    INTERRUPTION,
    STALLED,
    Decision,
    FailureRecord,
    RequestRecord,
    StepRecord,
)
from stumble.outcome.system_requests import attach_system_requests
from stumble.wire import ids
from stumble.wire.taxonomy import Classification, classify, describe_class

#: Fields of an origin that belong to the request, whichever process reports them.
_SHARED = [
    EventOrigin._fields.index(name)
    for name in (
        *("global_request_id", "owner_project_id", "initiator_user_id", "initiator_project_id"),
        *("display_name", "region", "availability_zone", "cloud"),
    )
]
#: Rules that look at decisions of the clock, by the outcome that they give to an open request.
_BY_THE_CLOCK = {FAILED: DecidingRule.INTERRUPTED_BY_RESTART, STALLED: DecidingRule.STALLED}
_INTERRUPTED_REASON = "The service was interrupted, usually by a restart, and did not complete the request."
_INTERRUPTED = Classification(code=None, code_source="UNKNOWN", blame="OPERATOR", retryable=True, is_nova=False)


def derive_requests(
    instance_uuid: str, facts: Iterable[Fact], decisions: Iterable[Decision] = ()
) -> tuple[RequestRecord, ...]:
    """Return the records of the requests of one instance that ``facts`` show.

    ``facts`` are those of any number of its fact sets, each complete. Where one set of the instance has context
    (:func:`stumble.outcome.facts.has_context`), all of them must be given.
    """
    return derive_sets(instance_uuid, _fact_sets(facts), decisions)


def derive_sets(
    instance_uuid: str, sets: Iterable[Sequence[Fact]], decisions: Iterable[Decision] = ()
) -> tuple[RequestRecord, ...]:
    """Do what :func:`derive_requests` does, for fact sets: one for each request id, as ``merge_facts`` returns them."""
    cases = _cases(sets)
    latest_decisions = latest(decisions) if decisions else {}
    keys = {id(case.group): _key(instance_uuid, case.group) for case in cases}
    return tuple([_record(instance_uuid, case, keys, latest_decisions) for case in cases])


class DerivedRequest(NamedTuple):
    """A request's record, what was concluded from its facts, and the rule that decided its outcome."""

    record: RequestRecord
    case: RequestCase
    decided_by: DecidingRule


def explain_requests(
    instance_uuid: str, facts: Iterable[Fact], decisions: Iterable[Decision] = ()
) -> tuple[DerivedRequest, ...]:
    """Return what :func:`derive_requests` returns, each record with the rule that decided it."""
    latest_decisions = latest(decisions)
    cases = _cases(_fact_sets(facts))
    keys = {id(case.group): _key(instance_uuid, case.group) for case in cases}
    result = []
    for case in cases:
        record = _record(instance_uuid, case, keys, latest_decisions)
        decided_by = case.decided_by if record.outcome == case.outcome else _BY_THE_CLOCK[record.outcome]
        result.append(DerivedRequest(record, case, decided_by))
    return tuple(result)


def open_cases(
    instance_uuid: str, sets: Iterable[Sequence[Fact]], decisions: Iterable[Decision] = ()
) -> dict[str, tuple[RequestCase, Decision | None]]:
    """Return, by key, the requests that no fact has ended, each with the decision that stands on it."""
    latest_decisions = latest(decisions)
    result = {}
    for case in _cases(sets):
        if case.outcome == IN_PROGRESS:
            key = _key(instance_uuid, case.group)
            decision = latest_decisions.get(key)
            result[key] = (case, decision if decision is not None and stands(decision, case.group) else None)
    return result


def latest(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Return the last decision on each request."""
    return {decision.request_key: decision for decision in sorted(decisions, key=_decided)}


def _fact_sets(facts: Iterable[Fact]) -> list[Sequence[Fact]]:
    sets: dict[str | None, list[Fact]] = {}
    for fact in facts:
        sets.setdefault(fact.origin.request_id, []).append(fact)
    return [merge_facts((), one) for one in sets.values()]


def _cases(sets: Iterable[Sequence[Fact]]) -> list[RequestCase]:
    fact_sets = sorted([facts for facts in sets if facts], key=_first_fact)
    cases = [RequestCase(group) for group in attach_system_requests(fact_sets, split_requests)]
    if len(cases) > 1:
        apply_instance_events(cases)
    return cases


def _first_fact(facts: Sequence[Fact]) -> Fact:
    return facts[0]


def _decided(decision: Decision) -> tuple[int, str]:
    return decision.decided_at, decision.kind


def _key(instance_uuid: str, group: RequestGroup) -> str:
    target = group.target[1] if group.target is not None else group.slot
    return ids.request_key(instance_uuid, group.request_id, group.family or "", target)


def _origin_of(group: RequestGroup) -> EventOrigin:
    """Return the request's origin: each field from the first fact that has it."""
    first = group.facts[0].origin
    missing = [position for position in _SHARED if first[position] is None]
    if not missing:
        return first
    values = list(first)
    seen = first
    for fact in group.facts:
        origin = fact.origin
        if origin is seen:
            continue
        seen = origin
        for position in missing:
            if values[position] is None:
                values[position] = origin[position]
    return EventOrigin._make(values)


def _record(
    instance_uuid: str, case: RequestCase, keys: dict[int, str], latest_decisions: dict[str, Decision]
) -> RequestRecord:
    group = case.group
    key = keys[id(group)]
    steps = numbered_attempts(case.runs)
    failures = tuple(_failure(key, case, one, steps) for one in case.findings.clusters)
    outcome, decided_at = case.outcome, case.decided_at
    reason = proof = None
    decision = latest_decisions.get(key)
    if decision is not None and decision.kind != IN_PROGRESS and outcome == IN_PROGRESS and stands(decision, group):
        outcome, decided_at, proof = decision.kind, decision.decided_at, evidence.proof(decision)
        if outcome == INTERRUPTION:
            decided_at = _happened_at(decision)
            outcome, failures = FAILED, (*failures, _interrupted(key, group, decision))
        else:
            reason = evidence.reason(decision)
    last = failures[-1] if failures else None
    facts = group.facts
    origin = _origin_of(group)
    last_fact = _last_located(group)
    labels = last_fact.origin.labels
    linked = case.linked
    return RequestRecord(
        request_key=key,
        instance_uuid=instance_uuid,
        request_id=group.request_id,
        family=group.family,
        action=group.action,
        target_kind=group.target[0] if group.target is not None else None,
        target_id=group.target[1] if group.target is not None else None,
        global_request_id=origin.global_request_id,
        owner_project_id=origin.owner_project_id,
        initiator_user_id=origin.initiator_user_id,
        initiator_project_id=origin.initiator_project_id,
        display_name=origin.display_name,
        outcome=outcome,
        verdict=case.findings.verdict,
        reason=reason or _request_reason(last, case.findings.verdict_reason if outcome == FAILED else None),
        evidence=proof,
        effect=last.effect if last is not None else EFFECT_NONE,
        started_at=group.started_at,
        finished_at=decided_at,
        last_event_at=facts[-1].at,
        linked_request_key=keys[id(linked)] if linked is not None else None,
        host=last_fact.origin.host,
        cell=last_fact.origin.cell,
        region=origin.region,
        availability_zone=origin.availability_zone,
        cloud=origin.cloud,
        labels=dict(zip(labels[::2], labels[1::2], strict=True)) if labels else {},
        failures=failures,
        steps=steps,
    )


def _request_reason(last: FailureRecord | None, verdict_reason: str | None) -> str | None:
    """Return the reason of the last failure, and after it what Nova tells its users when it gives up."""
    if last is None or not last.reason or not verdict_reason or verdict_reason in last.reason:
        return None if last is None else last.reason
    return f"{last.reason} Nova gave up: {verdict_reason}"


def _last_located(group: RequestGroup) -> Fact:
    """Return the last fact of a nova-compute, else the last fact: it shows where the request runs or ran."""
    for fact in reversed(group.facts):
        if fact.origin.service == "nova-compute":
            return fact
    return group.facts[-1]


def stands(decision: Decision, group: RequestGroup) -> bool:
    """Return whether a decision still stands: the request has as many facts as then, and none later than it."""
    known = decision.evidence.get("facts")
    if known is not None and len(group.facts) != int(known):
        return False
    return group.facts[-1].at <= decision.decided_at


def _happened_at(decision: Decision) -> int:
    """Return when an interruption happened: at the restart of its service if that is known, else at the decision."""
    return int(decision.evidence.get("at") or decision.decided_at)


def _interrupted(key: str, group: RequestGroup, decision: Decision) -> FailureRecord:
    last_fact = _last_located(group)
    host = decision.evidence.get("host") or last_fact.origin.host
    at = _happened_at(decision)
    return FailureRecord(
        failure_id=ids.failure_id(key, host, INTERRUPTED),
        host=host,
        node=last_fact.origin.node,
        step=last_fact.step,
        attempt=None,
        exception=INTERRUPTED,
        chain=(),
        code=None,
        reason=_INTERRUPTED_REASON,
        blame="OPERATOR",
        retryable=True,
        effect=effect_of(at, INTERRUPTED, group.rule, group.facts),
        occurred_at=at,
        fingerprint=fingerprint_of(INTERRUPTED, None),
        event_ids=(),
        detail_event_id=None,
        migration_id=None,
        source_host=None,
        dest_host=None,
        cell=last_fact.origin.cell,
        region=last_fact.origin.region,
        availability_zone=last_fact.origin.availability_zone,
    )


def _failure(key: str, case: RequestCase, one: FailureCluster, steps: Sequence[StepRecord]) -> FailureRecord:
    """Return the record of one failure from its sightings; those of its own class and host come first."""
    group, at = case.group, one.at
    own = sorted(one.sightings, key=lambda f: (not _is_direct(f, one), f.at, f.event_id))
    sightings = [f.failure for f in own if f.failure is not None and root_of(f.failure) == one.exception]
    direct = [s for s in sightings if s.exception == one.exception]
    by_cause = sorted(sightings, key=_without_causes)
    step = next((f.step for f in own if f.step is not None), None)
    classified = _INTERRUPTED if one.exception == INTERRUPTED else classify(one.exception)
    detailed = [f for f in own if f.failure is not None and f.failure.detail]
    extras = [f.extra for f in own if f.extra is not None]
    codes = [s.code for s in direct if s.code is not None]
    blame = next((s.blame for s in by_cause if s.blame != "UNKNOWN"), classified.blame)
    origins = [f.origin for f in own]
    return FailureRecord(
        failure_id=ids.failure_id(key, one.host, one.exception, one.attempt_id),
        host=one.host,
        node=next((o.node for o in origins if o.node), None),
        step=step,
        attempt=attempt_of(steps, step, one.host, at),
        exception=one.exception,
        chain=max((f.failure.chain for f in own if f.failure is not None), key=len, default=()),
        code=codes[0] if codes else classified.code,
        reason=_fullest([s.reason for s in sightings if s.reason and s.reason != one.exception])
        or _without_reason(one, blame),
        blame=blame,
        retryable=next((s.retryable for s in by_cause if s.retryable is not None), classified.retryable),
        effect=effect_of(at, one.exception, group.rule, group.facts),
        occurred_at=at,
        fingerprint=fingerprint_of(one.exception, next((s.message for s in direct if s.message), None)),
        event_ids=tuple(sorted(f.event_id for f in one.sightings)),
        detail_event_id=detailed[0].event_id if detailed else None,
        migration_id=next((e.migration_id for e in extras if e.migration_id), None),
        source_host=next((e.source_host for e in extras if e.source_host), None),
        dest_host=next((e.dest_host for e in extras if e.dest_host), None),
        cell=next((o.cell for o in origins if o.cell), None),
        region=next((o.region for o in origins if o.region), None),
        availability_zone=next((o.availability_zone for o in origins if o.availability_zone), None),
    )


def _without_causes(sighting: FactSighting) -> bool:
    """Sort key: sightings that show the causes inside come first, since these decide the blame."""
    return not sighting.chain


def _fullest(reasons: Sequence[str]) -> str | None:
    """Return the first reason that no other contains: what Nova tells its users may quote the cause and say more."""
    return next((text for text in reasons if not any(text != other and text in other for other in reasons)), None)


def _without_reason(one: FailureCluster, blame: str) -> str:
    """Return the reason of a failure for which no signal gives a text for users."""
    if one.exception == INTERRUPTED:
        return _INTERRUPTED_REASON
    silent = all(fact.failure is None for fact in one.sightings)
    if silent:
        return signals.SILENT_REASONS.get(one.exception, signals.SILENT_REASON)
    return describe_class(one.exception, blame)


def _is_direct(fact: Fact, one: FailureCluster) -> bool:
    """Return whether a sighting shows the failure itself, on its own host."""
    return fact.origin.host == one.host and fact.failure is not None and fact.failure.exception == one.exception
