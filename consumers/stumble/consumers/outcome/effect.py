"""What a failure did to the instance, from state snapshots alone: never from the outcome."""

from __future__ import annotations

from collections.abc import Sequence

from stumble.consumers.facts import Fact
from stumble.consumers.outcome import rules
from stumble.consumers.records import EFFECT_ERROR, EFFECT_NONE, EFFECT_OTHER, EFFECT_UNKNOWN

_ERROR = "error"


def baseline_of(facts: Sequence[Fact]) -> str | None:
    """Return the vm_state in which the request found the instance. ``facts`` are sorted."""
    for fact in facts:
        if fact.state is None:
            continue
        if fact.state[2]:
            return fact.state[2]
        if fact.phase in {"START", "PROGRESS"}:
            return fact.state[0]
        if fact.phase == "ERROR":
            return None
    return None


def effect_of(at: int, facts: Sequence[Fact]) -> str:
    """Return what a failure at a time did: the first settled state from then on against that before."""
    baseline = baseline_of(facts)
    for fact in facts:
        if fact.state is None or fact.at < at or not _settled(fact):
            continue
        after = fact.state[0]
        if after == baseline:
            return EFFECT_NONE
        if after == _ERROR:
            return EFFECT_ERROR
        if baseline is not None:
            return EFFECT_OTHER
    return EFFECT_UNKNOWN


def _settled(fact: Fact) -> bool:
    """Tell whether a snapshot shows where the failure left the instance, not the middle of the work.

    A recorded fault stands inside the step, but after whatever sets the state to error; a next attempt's start shows
    the state that the failed attempt left.
    """
    assert fact.state is not None
    vm_state, task_state = fact.state[0], fact.state[1]
    return (
        vm_state == _ERROR
        or not task_state
        or fact.signal in rules.GIVING_UP
        or (fact.phase == "START" and fact.signal not in rules.STEPPING)
    )
