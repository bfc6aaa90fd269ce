"""What a failure did to the instance, from state snapshots alone: never from the outcome."""

from __future__ import annotations

from collections.abc import Sequence

from stumble.outcome import rules, signals
from stumble.outcome.facts import Fact
from stumble.outcome.records import EFFECT_ERROR, EFFECT_NONE, EFFECT_OTHER, EFFECT_UNKNOWN

_ERROR = "error"
_AFTER_STATE = frozenset({"fault", "event_finish", "action_finish"})


def baseline_of(facts: Sequence[Fact]) -> str | None:
    """Return the instance's vm_state before the request. ``facts`` are sorted.

    Nova sets vm_state when the work is done: while there is a task_state, vm_state still has its old value.
    """
    for fact in facts:
        if fact.state is None:
            continue
        if fact.state[2]:
            return fact.state[2]
        if fact.signal == signals.UPDATE:  # it shows the state after the change
            continue
        if fact.phase in {"START", "PROGRESS"} or (fact.state[1] and fact.state[0] != _ERROR):
            return fact.state[0]
        return None
    return None


def effect_of(at: int, exception: str, rule: rules.ActionRule, facts: Sequence[Fact]) -> str:
    """Return the effect of a failure at a time: the first settled state since then against that before the request."""
    lagging = rule.snapshots_lag or exception in signals.UNSAVED
    baseline = baseline_of(facts)
    if rule.error_comes_last and baseline != _ERROR and any(_becomes_error(fact) and fact.at >= at for fact in facts):
        return EFFECT_ERROR
    for fact in facts:
        if fact.state is None or fact.at < at:
            continue
        if not _settled(fact, rule, lagging=lagging) and not _shows_nothing_done(fact, at, exception, rule):
            continue
        after = fact.state[0]
        if after == _ERROR and baseline != _ERROR:
            return EFFECT_ERROR
        # If the state before is unknown, a failure that does not lead to ERROR counts as one without effect.
        return EFFECT_NONE if baseline is None or after == baseline else EFFECT_OTHER
    return EFFECT_UNKNOWN


def _shows_nothing_done(fact: Fact, at: int, exception: str, rule: rules.ActionRule) -> bool:
    """Return whether a fact shows the state that a step left as it was: it gave up, or its end is the failure."""
    if fact.signal == signals.STEP_UNDONE:
        return True
    return fact.at == at and fact.phase == "END" and exception == rule.silent_class


def _becomes_error(fact: Fact) -> bool:
    return fact.signal == signals.UPDATE and fact.state is not None and fact.state[0] == _ERROR


def _settled(fact: Fact, rule: rules.ActionRule, *, lagging: bool) -> bool:
    """Return whether a snapshot shows the state after a failure, not one during the work.

    Nova sets the state before it records a fault or ends a step; only task_state is reset later. The start of the next
    attempt shows the state after the failed one.
    """
    assert fact.state is not None
    vm_state, task_state = fact.state[0], fact.state[1]
    if vm_state == _ERROR or fact.signal in signals.GIVING_UP:
        return True
    if fact.phase == "START":
        return fact.signal in rule.signals and (fact.signal, fact.phase) not in rule.silent_failures
    if fact.signal == signals.UPDATE:
        return not task_state
    if fact.signal == "action_finish" and fact.phase == "ERROR":  # no other service got a call: none changes the state
        return True
    if lagging or (rule.error_comes_last and fact.signal == "exception"):
        return False
    return not task_state or (fact.phase == "ERROR" and fact.signal in _AFTER_STATE)
