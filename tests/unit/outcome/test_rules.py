"""The table of rules covers every action of Nova."""

from __future__ import annotations

from pathlib import Path

import pytest

from stumble.outcome import describe, rules, signals
from tests.unit.outcome import dsl

#: nova/compute/instance_actions.py
NOVA_ACTIONS = """
    create delete evacuate restore stop start reboot rebuild revertResize confirmResize resize migrate pause unpause
    suspend resume rescue unrescue changePassword shelve shelveOffload unshelve live-migration live_migration_cancel
    live_migration_force_complete trigger_crash_dump extend_volume attach_interface detach_interface attach_volume
    detach_volume attach_share detach_share swap_volume lock unlock createBackup createImage resetState
    refresh_volume_attachment
""".split()  # noqa: SIM905


def test_rules_cover_every_action_of_nova() -> None:
    assert len(NOVA_ACTIONS) == 40
    assert sorted(rules.RULES) == sorted(NOVA_ACTIONS)


@pytest.mark.parametrize("action", NOVA_ACTIONS)
def test_each_end_marker_makes_its_action_succeed(action: str) -> None:
    rule = rules.RULES[action]
    phase = {signal: "" if signal in signals.PHASELESS else ".end" for signal in rule.ends}
    markers = [f"V h1 {signal}{phase[signal]}" for signal in sorted(rule.ends)]
    markers += [f"T h1 event_finish.end {step}{_shown(rule.evidence.get(step))}" for step in sorted(rule.end_steps)]
    markers += [f"T api action_finish {action}"]
    for marker in markers:
        assert dsl.summary(dsl.run(f"T api action_start {action}\n{marker}")) == {action: "SUCCEEDED"}, marker


def _shown(evidence: rules.Evidence | None) -> str:
    """Return what an event must show for this evidence."""
    if evidence is None:
        return ""
    status = "".join(f" migration_status={one}" for one in sorted(evidence.migration_statuses)[:1])
    return status + "".join(f" {one}/-" for one in sorted(evidence.vm_states)[:1])


@pytest.mark.parametrize("action", NOVA_ACTIONS)
def test_end_of_another_step_does_not_end_the_action(action: str) -> None:
    rule = rules.RULES[action]
    lines = [f"T h1 event_finish.end {step}" for step in sorted(rule.steps - rule.end_steps)]
    lines += [f"V h1 {signal}.end" for signal in sorted(rule.signals - rule.ends)]
    script = "\n".join([f"T api action_start {action}", *lines])
    assert dsl.summary(dsl.run(script)) == {action: "IN_PROGRESS"}


@pytest.mark.parametrize("action", NOVA_ACTIONS)
def test_failed_step_fails_its_action(action: str) -> None:
    rule = rules.RULES[action]
    for step in sorted(rule.steps - rule.attempt_steps):
        script = f"T api action_start {action}\nT h1 event_finish {step} !HypervisorUnavailable"
        (record,) = dsl.run(script)
        assert record.outcome == "FAILED"
        assert [one.step for one in record.failures] == [step]


@pytest.mark.parametrize("action", NOVA_ACTIONS)
def test_failed_attempt_leaves_its_action_in_progress(action: str) -> None:
    rule = rules.RULES[action]
    lines = [f"T h1 event_finish {step} !DiskNotFound" for step in sorted(rule.attempt_steps)]
    lines += [f"V h1 {signal}.error !DiskNotFound" for signal in sorted(rule.attempt_signals)]
    for line in lines:
        assert dsl.summary(dsl.run(f"T api action_start {action}\n{line}")) == {
            action: "IN_PROGRESS h1:DiskNotFound(UNKNOWN)"
        }


def test_unknown_action_can_fail_but_not_succeed() -> None:
    assert dsl.summary(dsl.run("T api action_start teleport")) == {"teleport": "IN_PROGRESS"}
    failed = dsl.run("T api action_start teleport\nT h1 event_finish compute_teleport !HypervisorUnavailable")
    assert dsl.summary(failed) == {"teleport": "FAILED h1:HypervisorUnavailable(UNKNOWN)"}
    ended = dsl.run("T api action_start teleport\nT h1 event_finish.end compute_teleport")
    assert dsl.summary(ended) == {"teleport": "IN_PROGRESS"}


def test_deciding_rules_in_docs_are_current() -> None:
    text = (Path(__file__).parents[3] / "docs" / "outcomes.md").read_text(encoding="utf-8")
    generated = text.partition("describe, first table -->\n")[2].partition("<!-- end of rules -->")[0]
    assert generated == describe.deciding_rules(), "run: python -m stumble.outcome.describe"


def test_rules_table_in_docs_is_current() -> None:
    text = (Path(__file__).parents[3] / "docs" / "outcomes.md").read_text(encoding="utf-8")
    generated = text.partition("describe, second table -->\n")[2].partition("<!-- end -->")[0]
    assert generated == describe.rules_table(), "run: python -m stumble.outcome.describe"
