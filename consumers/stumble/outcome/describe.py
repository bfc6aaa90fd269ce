"""The rules that decide an outcome, and those of each action, as Markdown: ``python -m stumble.outcome.describe``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from stumble.outcome import signals
from stumble.outcome.deciding_rule import DecidingRule
from stumble.outcome.rules import RULES, UNKNOWN_RULE, ActionRule, Evidence

_HEADER = (
    "| action | ends with | or with Success of the step | evidence that these need | a failure ends | notes |\n"
    "|---|---|---|---|---|---|\n"
)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "-"


def _ends(rule: ActionRule) -> str:
    phases = {name: name if name in signals.PHASELESS else f"{name}.end" for name in rule.ends}
    return _listed(phase.removeprefix("instance.") for phase in phases.values())


def _evidence(rule: ActionRule) -> str:
    ends: dict[str, list[str]] = {}
    for name, evidence in rule.evidence.items():
        ends.setdefault(_condition(evidence), []).append(name.removeprefix("instance."))
    return "; ".join(f"{_listed(names)}: {condition}" for condition, names in ends.items())


def _condition(evidence: Evidence) -> str:
    parts = []
    if evidence.unfinished_tasks:
        parts.append(f"task_state is not {_alternatives(evidence.unfinished_tasks)}")
    if evidence.vm_states:
        began = f", or the step began with task_state `{evidence.same_task}`" if evidence.same_task else ""
        parts.append(f"vm_state is {_alternatives(evidence.vm_states)}{began}")
    if evidence.migration_statuses:
        parts.append(f"the migration is {_alternatives(evidence.migration_statuses)}")
    return " and ".join(parts) or f"the tap reports no `{signals.STEP_UNDONE}`"


def _alternatives(names: Iterable[str]) -> str:
    return " or ".join(f"`{name}`" for name in sorted(names))


def _failure(rule: ActionRule) -> str:
    if rule.swallows:
        return "the request, whatever follows"
    return "the attempt; the request when Nova gives up" if rule.retries else "the request"


def _notes(rule: ActionRule) -> str:
    notes = [f"ends also with its migration's `{status}`" for status in signals.MIGRATION_ENDS.get(rule.action, ())]
    if not rule.ends and not rule.end_steps:
        notes.append("ends when Nova finishes the action record")
    if rule.held_by is not None:
        notes.append(f"open while `{rule.held_by}` runs")
    if rule.silent_failures:
        notes += [f"fails also with `{name.removeprefix('instance.')}`" for name, _ in sorted(rule.silent_failures)]
    if rule.timed_out_class is not None:
        notes.append(f"fails also when a periodic task sets the server to ERROR (`{rule.timed_out_class}`)")
    notes += [f"a failure of `{step}` ends it, whatever follows" for step in sorted(rule.swallowed_steps)]
    if rule.silent_class != UNKNOWN_RULE.silent_class:
        notes.append(f"a failure without an exception is `{rule.silent_class}`")
    if rule.aborted_by is not None:
        notes.append(f"cancelled by `{rule.aborted_by}`")
    if rule.by_target:
        notes.append("one request per target")
    return "; ".join(notes)


def deciding_rules() -> str:
    """Return the rules that decide an outcome, in their order, as a Markdown table."""
    rows = [f"| {rule.number} | `{rule.name}` | {rule.value} |\n" for rule in DecidingRule]
    return "| | rule | when it applies, and the outcome |\n|---|---|---|\n" + "".join(rows)


def rules_table() -> str:
    """Return the rules of all actions as a Markdown table."""
    rows = [
        f"| {rule.action} | {_ends(rule)} | {_listed(rule.end_steps)} | {_evidence(rule)} | {_failure(rule)} "
        f"| {_notes(rule)} |\n"
        for rule in RULES.values()
    ]
    return _HEADER + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{deciding_rules()}\n{rules_table()}")
