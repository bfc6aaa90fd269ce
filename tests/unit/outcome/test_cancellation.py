"""Which came first, a failure or the delete or abort that may explain it, whatever the clocks of the hosts show."""

from __future__ import annotations

import pytest

from stumble.outcome.deciding_rule import DecidingRule
from stumble.outcome.derive import derive_requests, explain_requests
from stumble.outcome.facts import Fact
from stumble.outcome.records import IN_PROGRESS
from tests.unit.outcome import dsl
from tests.unit.outcome.scenarios import SCENARIOS, Scenario

LOST_GUEST = """
    T api action_start stop active/powering-off
    T h1 event_start compute_stop_instance active/powering-off
    T h1 fault !InstanceNotFound>libvirtError active/-
    T h1 event_finish compute_stop_instance !InstanceNotFound>libvirtError active/-
"""
DELETE = """
    T api action_start delete active/deleting @req-2
    T h1 event_start compute_terminate_instance active/deleting @req-2
    T h1 event_finish.end compute_terminate_instance deleted/- @req-2
"""
MIGRATION = """
    T api action_start live-migration active/migrating
    T h1 event_start compute_live_migration active/migrating
    T h1 event_finish.end compute_live_migration active/migrating
    T h1 migration migration_type=live-migration migration_status=running
"""
#: The delete is requested, the driver misses the guest, the delete begins on the host before the error is saved.
DELETED_MIDWAY = f"""
    {MIGRATION}
    T api action_start delete active/deleting @req-2
    T h1 migration migration_type=live-migration migration_status=error !InstanceNotFound
    T h1 event_start compute_terminate_instance active/deleting @req-2
    T h1 instance.update error/-
    T h1 event_finish.end compute_terminate_instance deleted/- @req-2
"""
SHIFTS = (-10, 0, 10)


def shifted(facts: list[Fact], host: str, seconds: int) -> list[Fact]:
    """Return facts as the host reports them if its clock is wrong by some seconds."""
    return [f._replace(at=f.at + seconds * 1_000_000) if f.origin.host == host else f for f in facts]


def replaced(facts: list[Fact], host: str) -> list[Fact]:
    """Return facts as the store has them if the host's clock is implausible: their times are those of their arrival."""
    return [
        dsl.with_claimed_time(f._replace(at=dsl.T0 + number * 1_000_000), "0") if f.origin.host == host else f
        for number, f in enumerate(facts)
    ]


def prefixes(facts: list[Fact], action: str) -> list[str]:
    """Return an action's outcomes, as they change while facts arrive one after another."""
    outcomes: list[str] = []
    for known in range(1, len(facts) + 1):
        for record in derive_requests(dsl.INSTANCE, facts[:known]):
            if record.action == action and outcomes[-1:] != [record.outcome]:
                outcomes.append(record.outcome)
    return outcomes


def decided_by(facts: list[Fact], action: str) -> DecidingRule:
    return next(one.decided_by for one in explain_requests(dsl.INSTANCE, facts) if one.record.action == action)


@pytest.mark.parametrize("seconds", SHIFTS)
@pytest.mark.parametrize("host", ["h1", "api"])
def test_failure_before_a_delete_stays_a_failure_whatever_the_clocks_show(host: str, seconds: int) -> None:
    facts = shifted(dsl.facts(LOST_GUEST + DELETE), host, seconds)
    records = derive_requests(dsl.INSTANCE, facts)
    assert dsl.summary(records) == {"stop": "FAILED h1:InstanceNotFound(NONE)", "delete": "SUCCEEDED"}
    (stop,) = (one for one in records if one.action == "stop")
    assert [one.blame for one in stop.failures] == ["OPERATOR"]
    assert decided_by(facts, "stop") is DecidingRule.FAILED


@pytest.mark.parametrize("script", [LOST_GUEST + DELETE, DELETE + LOST_GUEST], ids=["in order", "delete first"])
def test_time_of_arrival_is_no_evidence_that_a_delete_came_first(script: str) -> None:
    facts = replaced(dsl.facts(script), "h1")
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts)) == {
        "stop": "FAILED h1:InstanceNotFound(NONE)",
        "delete": "SUCCEEDED",
    }


def test_event_of_a_failure_that_shows_the_running_delete_is_evidence_also_without_its_own_time() -> None:
    facts = dsl.facts("""
        T con action_start create building/scheduling
        V h1 instance.create.start building/-
        V h1 instance.create.error building/deleting !InstanceNotFound
        T api action_start delete building/deleting @req-2
    """)
    assert dsl.summary(derive_requests(dsl.INSTANCE, replaced(facts, "h1")))["create"] == "CANCELLED"


def test_failure_of_a_delete_counts_as_earlier_only_by_times_of_clocks() -> None:
    facts = dsl.facts("""
        T con action_start create building/scheduling
        T h1 event_start compute_terminate_instance building/deleting @req-2
        T h1 event_finish compute_terminate_instance !libvirtError error/- @req-2
        V h1 instance.create.error building/deleting !UnexpectedDeletingTaskStateError
    """)
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts))["create"] != "CANCELLED"
    assert dsl.summary(derive_requests(dsl.INSTANCE, replaced(facts, "h1")))["create"] == "CANCELLED"


@pytest.mark.parametrize("host", ["con", "api", "h1"])
def test_conductor_that_misses_a_server_needs_times_of_clocks_as_evidence_of_the_delete(host: str) -> None:
    facts = dsl.facts("""
        T api action_start resize active/resize_prep
        T api action_start delete active/deleting @req-2
        T con event_finish conductor_migrate_server !InstanceNotFound
        T h1 event_start compute_terminate_instance active/deleting @req-2
        T h1 event_finish.end compute_terminate_instance deleted/- @req-2
    """)
    summary = dsl.summary(derive_requests(dsl.INSTANCE, replaced(facts, host)))
    assert summary["resize"] == "FAILED con:InstanceNotFound(UNKNOWN)"


@pytest.mark.parametrize("own_times", [True, False])
@pytest.mark.parametrize("abort_comes_first", [True, False])
def test_events_of_the_process_that_stopped_the_work_show_whether_it_was_aborted(
    abort_comes_first: bool, own_times: bool
) -> None:
    rollback = """
        V h1 instance.live_migration_rollback.start active/migrating
        V h1 instance.live_migration_rollback.end active/-
    """
    abort = """
        V api instance.live_migration_abort.start active/migrating @req-2
        V h1 instance.live_migration_abort.start active/migrating @req-2
        V h1 instance.live_migration_abort.end active/migrating @req-2
    """
    begin = "V h1 instance.live_migration_pre.start active/migrating"
    facts = dsl.facts(begin + (abort + rollback if abort_comes_first else rollback + abort))
    summary = dsl.summary(derive_requests(dsl.INSTANCE, facts if own_times else replaced(facts, "h1")))
    assert summary["live-migration"].split()[0] == ("CANCELLED" if abort_comes_first else "FAILED")


@pytest.mark.parametrize("seconds", SHIFTS)
@pytest.mark.parametrize("host", ["h1", "api"])
def test_migration_that_a_delete_cut_short_is_cancelled_whatever_the_clocks_show(host: str, seconds: int) -> None:
    facts = shifted(dsl.facts(DELETED_MIDWAY), host, seconds)
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts)) == {"live-migration": "CANCELLED", "delete": "SUCCEEDED"}
    assert decided_by(facts, "live-migration") is DecidingRule.RACED_WITH_DELETE


def test_request_is_undecided_while_a_delete_that_was_requested_before_the_failure_runs() -> None:
    facts = dsl.facts(DELETED_MIDWAY)
    assert prefixes(facts, "live-migration") == [IN_PROGRESS, "CANCELLED"]
    assert decided_by(facts[:7], "live-migration") is DecidingRule.ORDER_UNPROVEN
    undecided = next(one for one in derive_requests(dsl.INSTANCE, facts[:7]) if one.action == "live-migration")
    assert undecided.failures == ()


def test_undecided_request_fails_when_the_delete_ends_and_nothing_shows_that_it_came_first() -> None:
    script = LOST_GUEST.replace("T h1 fault", f"{DELETE.splitlines()[1]}\n    T h1 fault") + "\n".join(
        DELETE.splitlines()[2:]
    )
    assert prefixes(dsl.facts(script), "stop") == [IN_PROGRESS, "FAILED"]


@pytest.mark.parametrize("seconds", SHIFTS)
def test_delete_that_began_on_the_host_before_the_failure_cancels(seconds: int) -> None:
    facts = dsl.facts("""
        T api action_start reboot active/rebooting
        T h1 event_start compute_reboot_instance active/rebooting
        T api action_start delete active/deleting @req-2
        T h1 event_start compute_terminate_instance active/deleting @req-2
        T h1 fault !InstanceNotFound active/rebooting
        T h1 event_finish compute_reboot_instance !InstanceNotFound active/rebooting
        T h1 event_finish.end compute_terminate_instance deleted/- @req-2
    """)
    expected = {"reboot": "CANCELLED", "delete": "SUCCEEDED"}
    assert dsl.summary(derive_requests(dsl.INSTANCE, shifted(facts, "h1", seconds))) == expected
    assert prefixes(facts, "reboot") == [IN_PROGRESS, "CANCELLED"]


def test_snapshot_that_shows_the_delete_proves_that_it_came_first() -> None:
    facts = dsl.facts("""
        T con action_start create building/scheduling
        V h1 instance.create.start building/-
        V h1 instance.create.error building/deleting !InstanceNotFound
        T api action_start delete building/deleting @req-2
    """)
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts))["create"] == "CANCELLED"


def test_failure_of_another_class_is_no_race_although_the_delete_came_first() -> None:
    facts = dsl.facts("""
        T api action_start reboot
        T h1 event_start compute_terminate_instance @req-2
        T h1 event_finish compute_reboot_instance !HypervisorUnavailable
        T h1 event_finish.end compute_terminate_instance @req-2
    """)
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts))["reboot"] == "FAILED h1:HypervisorUnavailable(UNKNOWN)"


def test_attempt_that_failed_before_the_race_stays_a_failure_of_the_cancelled_request() -> None:
    facts = dsl.facts("""
        T con action_start create
        V h1 instance.create.error building/spawning !libvirtError
        T h2 event_start compute__do_build_and_run_instance
        T h2 event_start compute_terminate_instance @req-2
        V h2 instance.create.error building/deleting !UnexpectedDeletingTaskStateError
        T h2 event_finish.end compute_terminate_instance deleted/- @req-2
    """)
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts))["create"] == "CANCELLED h1:libvirtError(UNKNOWN)"


def test_verdict_of_a_request_that_only_raced_is_dropped_with_the_race() -> None:
    facts = dsl.facts("""
        T api action_start resize
        T h1 event_start compute_terminate_instance @req-2
        T h1 event_finish compute_prep_resize !InstanceNotFound
        T con event_finish conductor_migrate_server !NoValidHost
        T h1 event_finish.end compute_terminate_instance @req-2
    """)
    (resize,) = (one for one in derive_requests(dsl.INSTANCE, facts) if one.action == "resize")
    assert (resize.outcome, resize.verdict, resize.failures) == ("CANCELLED", None, ())


def test_service_without_a_hypervisor_misses_only_a_server_that_is_deleted() -> None:
    script = """
        T api action_start resize active/resize_prep
        T api action_start delete active/deleting @req-2
        T con event_finish conductor_migrate_server !{}
        T h1 event_start compute_terminate_instance active/deleting @req-2
        T h1 event_finish.end compute_terminate_instance deleted/- @req-2
    """
    assert dsl.summary(dsl.run(script.format("InstanceNotFound")))["resize"] == "CANCELLED"
    remote = dsl.summary(dsl.run(script.format("InstanceNotFound_Remote")))["resize"]
    assert remote == "FAILED con:InstanceNotFound(UNKNOWN)"


@pytest.mark.parametrize("status", ["cancelled", "failed"])
def test_migration_that_stops_while_it_is_aborted_waits_for_its_status(status: str) -> None:
    facts = dsl.facts(f"""
        {MIGRATION}
        T api action_start live_migration_cancel active/migrating @req-2
        T h1 event_start compute_live_migration_abort active/migrating @req-2
        V h1 instance.live_migration_rollback.start active/migrating
        V h1 instance.live_migration_rollback.end active/-
        T h1 migration migration_type=live-migration migration_status={status}
    """)
    expected = "CANCELLED" if status == "cancelled" else "FAILED"
    assert prefixes(facts, "live-migration") == [IN_PROGRESS, expected]


@pytest.mark.parametrize("seconds", SHIFTS)
def test_abort_that_reached_the_host_after_the_rollback_cancels_nothing(seconds: int) -> None:
    facts = dsl.facts(f"""
        {MIGRATION}
        V h1 instance.live_migration_rollback.start active/migrating
        T api action_start live_migration_cancel active/migrating @req-2
        T h1 event_start compute_live_migration_abort active/migrating @req-2
        T h1 event_finish compute_live_migration_abort !InvalidMigrationState @req-2
        T h1 migration migration_type=live-migration migration_status=cancelled
    """)
    summary = dsl.summary(derive_requests(dsl.INSTANCE, shifted(facts, "h1", seconds)))
    assert summary["live-migration"] == "FAILED h1:LiveMigrationRolledBack(UNKNOWN)"
    assert prefixes(facts, "live-migration") == [IN_PROGRESS, "FAILED"]


def test_next_request_that_found_the_server_in_error_ends_the_one_before_it() -> None:
    script = """
        V h1 instance.create.start building/-
        V h1 instance.create.error building/spawning !HypervisorUnavailable
        V api instance.lock error/- @req-3
        V h1 instance.delete.start {}/deleting @req-2
        V h1 instance.delete.end deleted/- @req-2
    """
    facts = dsl.facts(script.format("error"))
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts))["create"] == "FAILED h1:HypervisorUnavailable(UNKNOWN)"
    assert decided_by(facts, "create") is DecidingRule.FOUND_IN_ERROR
    facts = dsl.facts(script.format("building").replace("error/-", "building/-"))
    assert dsl.summary(derive_requests(dsl.INSTANCE, facts))["create"] == "CANCELLED h1:HypervisorUnavailable(UNKNOWN)"
    assert decided_by(facts, "create") is DecidingRule.DELETED_WHILE_OPEN


#: Scenarios in which a signal without its cause or its action is seen first, or in which Nova itself changes its mind.
CORRECTED = {
    "create that takes longer than Nova allows, and works after that": set(dsl.WAYS),
    "createBackup whose rotation fails": {"versioned", "legacy", "both"},
    "message bus reported an error when the API sent the request, but delivered it": {
        "tap",
        "tap+versioned",
        "tap+both",
    },
    "delete of a server in VERIFY_RESIZE, the confirmation fails": {"tap", "tap+versioned", "tap+both"},
    "live migration succeeds on the second host": {"versioned", "both"},
}


@pytest.mark.parametrize("way", dsl.WAYS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_no_prefix_of_a_scenario_has_a_final_outcome_that_changes_later(scenario: Scenario, way: str) -> None:
    facts = dsl.facts(scenario.script, dsl.WAYS[way])
    changes: dict[str, list[str | None]] = {}
    for known in range(1, len(facts) + 1):
        outcomes: dict[str, str | None] = dict.fromkeys(changes)
        outcomes |= {one.request_key: one.outcome for one in derive_requests(dsl.INSTANCE, facts[:known])}
        for key, outcome in outcomes.items():
            if changes.setdefault(key, [])[-1:] != [outcome]:
                changes[key].append(outcome)
    final = [[one for one in outcomes if one != IN_PROGRESS] for outcomes in changes.values()]
    corrected = way in CORRECTED.get(scenario.name, ())
    assert any(len(outcomes) > 1 for outcomes in final) == corrected
