"""Whether the end of a step or an action shows that its work was done.

Nova records a step as Success whenever the step's method returns, also where it returned before the work was done or
swallowed an exception (docs/nova-early-returns.md). For such ends the table of rules names the evidence that they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from stumble.outcome import signals
from stumble.outcome.facts import Fact
from stumble.outcome.rules import ActionRule, Evidence


class Completion(Enum):
    """What an end shows of the work."""

    DONE = auto()
    #: Neither that it was done nor that it was not.
    UNKNOWN = auto()
    UNDONE = auto()


def completion_of(rule: ActionRule, end: Fact, facts: Sequence[Fact]) -> Completion:
    """Return what a fact that ends something shows of its request's work, given all facts of the request."""
    if end.signal in rule.ends:
        evidence = rule.evidence.get(end.signal)
    elif end.signal in signals.STEPPING and end.step in rule.end_steps:
        evidence = rule.evidence.get(end.step)
    else:
        return Completion.DONE if end.signal in signals.DECLARING else Completion.UNKNOWN
    return Completion.DONE if evidence is None else _shown(evidence, end, facts)


def _shown(evidence: Evidence, end: Fact, facts: Sequence[Fact]) -> Completion:
    if any(fact.signal == signals.STEP_UNDONE and _same_step(fact, end) for fact in facts):
        return Completion.UNKNOWN  # that fact is the failure
    if evidence.migration_statuses:
        return _shown_by_migration(evidence, end, facts)
    if end.state is None:
        return Completion.DONE
    if end.state[1] in evidence.unfinished_tasks:
        return Completion.UNKNOWN
    if not evidence.vm_states or end.state[0] in evidence.vm_states or _began_with_same_task(evidence, end, facts):
        return Completion.DONE
    return Completion.UNDONE


def _shown_by_migration(evidence: Evidence, end: Fact, facts: Sequence[Fact]) -> Completion:
    if any(_migration_status(fact) in evidence.migration_statuses for fact in facts):
        return Completion.DONE
    status = _migration_status(end)
    return Completion.UNKNOWN if status is None or status in evidence.pending_statuses else Completion.UNDONE


def _began_with_same_task(evidence: Evidence, end: Fact, facts: Sequence[Fact]) -> bool:
    return evidence.same_task is not None and any(
        fact.phase == "START"
        and _same_step(fact, end)
        and fact.state is not None
        and fact.state[1] == evidence.same_task
        for fact in facts
    )


def _same_step(one: Fact, other: Fact) -> bool:
    return one.step == other.step and one.origin.host == other.origin.host


def _migration_status(fact: Fact) -> str | None:
    return fact.extra.migration_status if fact.extra is not None else None
