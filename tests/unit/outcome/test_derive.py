"""Details of the derivation: steps, decisions, system failures, differing clocks, events of the library."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from stumble.emitter.scopes import ActionScope
from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import MAX_FACTS, Fact, fact_of, merge_facts
from stumble.outcome.records import INTERRUPTED, Decision, RequestRecord
from stumble.wire import ids
from stumble.wire.codec import decode_record, encode_record
from stumble.wire.schemas import EVENT
from tests.unit.outcome import dsl

KEY = ids.request_key(dsl.INSTANCE, "req-1", "stop")
STOP = "T api action_start stop\nT h1 event_start compute_stop_instance"


def _decide(script: str, *decisions: Decision) -> list[str]:
    return [record.outcome for record in derive_requests(dsl.INSTANCE, dsl.facts(script), decisions)]


def test_signals_of_failure_without_a_class_on_one_host_are_one_failure() -> None:
    common = {"instance_uuid": dsl.INSTANCE, "request_id": "req-1", "host": "h1", "service": "nova-compute"}
    signals = [("request", "START", "create"), ("event_start", "ERROR", None), ("action_start", "ERROR", None)]
    events = [
        {**common, "event_id": f"e{number}", "phase": phase, "action": action, "source": {"signal": signal}}
        for number, (signal, phase, action) in enumerate(signals)
    ]
    facts = [fact_of(decode_record(EVENT, encode_record(EVENT, event))) for event in events]
    (record,) = derive_requests(dsl.INSTANCE, facts)
    assert [(one.host, one.exception, len(one.event_ids)) for one in record.failures] == [("h1", "UnknownError", 2)]


def test_two_attempts_of_a_step_are_two_failures_with_attempt_numbers() -> None:
    (record,) = dsl.run("""
        T con action_start create
        T h1 event_start compute__do_build_and_run_instance
        V h1 instance.create.error compute__do_build_and_run_instance building/spawning !libvirtError
        T h1 event_finish.end compute__do_build_and_run_instance
        T h2 event_start compute__do_build_and_run_instance
        V h2 instance.create.error compute__do_build_and_run_instance building/spawning !libvirtError
        T h2 event_finish.end compute__do_build_and_run_instance
    """)
    assert [(one.host, one.step, one.attempt) for one in record.failures] == [
        ("h1", "compute__do_build_and_run_instance", 1),
        ("h2", "compute__do_build_and_run_instance", 2),
    ]
    assert [(run.host, run.attempt, run.result) for run in record.steps] == [("h1", 1, "Success"), ("h2", 2, "Success")]


def test_both_notification_formats_give_one_run_of_a_step() -> None:
    (record,) = dsl.run("""
        VL h1 instance.power_off.start compute_stop_instance active/powering-off
        VL h1 instance.power_off.end compute_stop_instance stopped/-
    """)
    assert [(run.step, run.attempt, run.result) for run in record.steps] == [("compute_stop_instance", 1, "Success")]


def test_success_on_another_host_recovers_despite_a_wrong_clock() -> None:
    facts = dsl.facts("""
        V h1 instance.create.error building/spawning !ComputeResourcesUnavailable
        V h2 instance.create.end active/-
    """)
    late = facts[0]._replace(at=facts[0].at + 3_600_000_000)
    (record,) = derive_requests(dsl.INSTANCE, [late, facts[1]])
    assert record.outcome == "RECOVERED"


def test_failure_after_success_on_the_same_host_fails_the_request() -> None:
    (record,) = dsl.run("""
        T api action_start rebuild
        V h1 instance.rebuild.end active/-
        T h1 event_finish compute_rebuild_instance !HypervisorUnavailable
    """)
    assert record.outcome == "FAILED"


def test_stalled_request_changes_back_when_an_event_arrives() -> None:
    last = dsl.facts(STOP)[-1].at
    stalled = Decision(KEY, "STALLED", last + 10)
    assert _decide(STOP, stalled) == ["STALLED"]
    assert _decide(STOP + "\nT h1 event_finish.end compute_stop_instance", stalled) == ["SUCCEEDED"]
    assert _decide(STOP + "\nV h1 instance.power_off.start", stalled) == ["IN_PROGRESS"]


def test_late_fact_from_before_the_decision_also_ends_stalled() -> None:
    last = dsl.facts(STOP)[-1].at
    assert _decide(STOP, Decision(KEY, "STALLED", last + 10, {"facts": "2"})) == ["STALLED"]
    assert _decide(STOP, Decision(KEY, "STALLED", last + 10, {"facts": "1"})) == ["IN_PROGRESS"]


def test_interrupted_request_has_one_failure_unless_it_succeeds_later() -> None:
    last = dsl.facts(STOP)[-1].at
    (record,) = derive_requests(
        dsl.INSTANCE, dsl.facts(STOP), [Decision(KEY, "INTERRUPTED", last + 10, {"host": "h1"})]
    )
    assert record.outcome == "FAILED"
    assert [(one.host, one.exception, one.blame) for one in record.failures] == [("h1", INTERRUPTED, "OPERATOR")]
    (record,) = derive_requests(
        dsl.INSTANCE,
        dsl.facts(STOP + "\nV h1 instance.power_off.end stopped/- @req-init sys"),
        [Decision(KEY, "INTERRUPTED", last + 10, {"host": "h1"})],
    )
    assert record.outcome == "SUCCEEDED"


def test_periodic_failure_without_action_or_step_belongs_to_no_request() -> None:
    records = dsl.run("""
        T api action_start stop
        T h1 event_finish.end compute_stop_instance
        T h1 fault !HypervisorUnavailable active/- @req-periodic sys
    """)
    assert dsl.summary(records) == {"stop": "SUCCEEDED"}


def test_migration_closed_after_the_delete_of_its_server_is_not_a_request() -> None:
    closed = "T h2 migration sys @req-p !InstanceNotFound migration_type=resize migration_status=error"
    assert dsl.run(closed) == ()
    records = dsl.run(f"""
        T api action_start delete
        T h1 instance.delete.end
        {closed}
    """)
    assert [(record.action, record.outcome, record.failures) for record in records] == [("delete", "SUCCEEDED", ())]


def test_system_failure_belongs_to_the_preceding_request() -> None:
    records = dsl.run("""
        T api action_start rebuild
        T h1 event_start compute_rebuild_instance
        T h1 fault !HypervisorUnavailable error/- @req-init sys
        T api action_start stop @req-2
    """)
    assert dsl.summary(records) == {"rebuild": "FAILED h1:HypervisorUnavailable(ERROR)", "stop": "IN_PROGRESS"}
    assert [record.request_id for record in records] == ["req-1", "req-2"]


def test_cancelled_request_is_linked_to_the_delete_that_cancelled_it() -> None:
    records = dsl.run("""
        T con action_start create
        T api action_start delete @req-2
        V h1 instance.delete.start building/deleting @req-2
        V h1 instance.create.error building/spawning !InstanceNotFound
        V h1 instance.delete.end deleted/- @req-2
    """)
    create, delete = records
    assert (create.outcome, create.linked_request_key, create.failures) == ("CANCELLED", delete.request_key, ())


def test_failed_request_stays_failed_after_a_delete() -> None:
    records = dsl.run("""
        T api action_start stop
        T h1 event_finish compute_stop_instance !HypervisorUnavailable
        T api action_start delete @req-2
        V h1 instance.delete.end deleted/- @req-2
    """)
    assert dsl.summary(records) == {"stop": "FAILED h1:HypervisorUnavailable(UNKNOWN)", "delete": "SUCCEEDED"}


def test_soft_delete_cancels_no_other_request() -> None:
    records = dsl.run("""
        T api action_start createImage
        T api action_start delete @req-2
        V h1 instance.soft_delete.end soft-delete/- @req-2
    """)
    assert dsl.summary(records) == {"createImage": "IN_PROGRESS", "delete": "SUCCEEDED"}


def test_second_of_two_deletes_is_cancelled() -> None:
    records = dsl.run("""
        T api action_start delete
        T api action_start delete @req-2
        V h1 instance.delete.end deleted/-
        T h1 event_finish compute_terminate_instance !InstanceNotFound @req-2
    """)
    assert dsl.summary(records) == {"delete": "SUCCEEDED", "delete#1": "CANCELLED"}


def test_reason_is_that_of_the_cause_inside_a_wrapper() -> None:
    (record,) = dsl.run("""
        T con action_start create
        T h1 fault !BuildAbortException>FlavorDiskTooSmall building/spawning
    """)
    assert record.reason == "BuildAbortException on this host Cause: FlavorDiskTooSmall on this host"
    assert [(one.exception, one.blame) for one in record.failures] == [("FlavorDiskTooSmall", "USER")]
    (record,) = dsl.run("T con action_start create\nT h1 fault !BuildAbortException building/spawning")
    assert record.reason == "BuildAbortException on this host"


def test_record_has_owner_and_initiator() -> None:
    (record,) = dsl.run("T api action_start stop\nV h1 instance.power_off.end stopped/-")
    assert (record.owner_project_id, record.initiator_user_id, record.initiator_project_id) == (
        "owner",
        "user",
        "project",
    )
    assert record.display_name == "server"


class Library:
    """The library's context managers, with the facts of the events that they emit."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.action = ActionScope(self._emit, {"action": "backup-volume", "request_id": "req-1", "host": "h1"})

    def _emit(self, event: Mapping[str, Any]) -> bool:
        at = dsl.T0 + len(self.facts)
        event_fields = decode_record(EVENT, encode_record(EVENT, {**dsl.blank(), **event, "occurred_at": at}))
        self.facts.append(fact_of(event_fields | {"event_id": ids.new_event_id(at)}))
        return True

    def record(self) -> RequestRecord:
        (record,) = derive_requests(dsl.INSTANCE, self.facts)
        assert (record,) == derive_requests(dsl.INSTANCE, self.facts[::-1])
        return record


def test_library_action_succeeds_when_it_ends() -> None:
    library = Library()
    with library.action as action:
        assert library.record().outcome == "IN_PROGRESS"
        with action.step("copy"):
            pass
        assert library.record().outcome == "IN_PROGRESS"
    assert library.record().outcome == "SUCCEEDED"
    assert library.record().action == "backup-volume"


def test_library_exception_is_one_failure() -> None:
    library = Library()
    with pytest.raises(RuntimeError), library.action as action, action.step("copy", attempt=1):
        raise RuntimeError("no space")
    record = library.record()
    assert record.outcome == "FAILED"
    assert [(one.step, one.exception, len(one.event_ids)) for one in record.failures] == [("copy", "RuntimeError", 2)]


def test_library_retry_recovers() -> None:
    library = Library()
    with library.action as action:
        for attempt in (1, 2):
            with suppress(RuntimeError), action.step("copy", attempt=attempt):
                raise RuntimeError("busy")
        assert library.record().outcome == "IN_PROGRESS"
        with action.step("copy", attempt=3):
            pass
    record = library.record()
    assert record.outcome == "RECOVERED"
    assert [(one.exception, one.attempt) for one in record.failures] == [("RuntimeError", 1), ("RuntimeError", 2)]


def test_library_action_can_be_cancelled() -> None:
    library = Library()
    with library.action as action:
        with action.step("copy") as step:
            step.cancel()
        assert library.record().outcome == "IN_PROGRESS"
        action.cancel()
    assert library.record().outcome == "CANCELLED"


def test_fact_set_is_bounded_and_keeps_deciding_facts() -> None:
    (update_fact,) = dsl.facts("V h1 instance.update active/-")
    many = [
        update_fact._replace(at=update_fact.at + n, event_id=ids.new_event_id(update_fact.at + n))
        for n in range(2 * MAX_FACTS)
    ]
    deciding = dsl.facts(STOP + "\nT h1 event_finish.end compute_stop_instance")
    merged = merge_facts(many, deciding)
    assert len(merged) == MAX_FACTS
    assert set(deciding) <= set(merged)
    assert merge_facts(merge_facts((), many[:300]), [*many[300:], *deciding]) == merged
    assert merge_facts(merge_facts(many[200:], deciding), many[:200]) == merged


def test_records_are_frozen() -> None:
    (record,) = dsl.run(STOP)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.outcome = "SUCCEEDED"  # type: ignore[misc]


def test_abort_cancels_only_the_migration_it_belongs_to() -> None:
    records = dsl.run("""
        T api action_start live-migration
        T api action_start live_migration_cancel @req-2
        V h1 instance.live_migration_abort.end @req-2
        V h1 instance.live_migration_rollback.start
        T h1 migration migration_type=live-migration migration_status=cancelled
        T api action_start live-migration @req-3
        V h1 instance.live_migration_rollback.start @req-3
    """)
    assert [(record.action, record.outcome) for record in records] == [
        ("live-migration", "CANCELLED"),
        ("live_migration_cancel", "SUCCEEDED"),
        ("live-migration", "FAILED"),
    ]
    assert records[0].linked_request_key == records[1].request_key


def test_migration_with_its_own_failure_is_not_cancelled_by_an_abort() -> None:
    records = dsl.run("""
        T api action_start live-migration
        T api action_start live_migration_cancel @req-2
        V h1 instance.live_migration_abort.start @req-2
        V h1 instance.live_migration_rollback.start
        T h1 migration migration_type=live-migration migration_status=error !libvirtError
    """)
    assert records[0].outcome == "FAILED"


def test_what_computes_report_of_the_conductor_is_a_failure_of_each_attempt() -> None:
    """No compute calls another one in a create: the remote exceptions come from the conductor, as for the database."""
    script = """
        T con action_start create
        V h1 instance.create.error building/spawning !DBConnectionError_Remote
        V h2 instance.create.error building/spawning !DBConnectionError_Remote
        V con compute_task.build_instances.error !MaxRetriesExceeded
    """
    assert dsl.summary(dsl.run(script)) == {
        "create": "FAILED h1:DBConnectionError(UNKNOWN) h2:DBConnectionError(UNKNOWN) verdict=MaxRetriesExceeded"
    }


def test_wrapper_without_a_cause_joins_the_one_that_shows_it_whichever_comes_first() -> None:
    lines = [
        "V h1 instance.create.error building/spawning !BuildAbortException",
        "T h1 fault !BuildAbortException>InvalidBDM>VolumeNotCreated building/spawning",
        "L h1 instance.create.error building/spawning !BuildAbortException>InvalidBDM",
    ]
    for order in itertools.permutations(lines):
        (record,) = dsl.run("\n".join(["T con action_start create", *order]))
        assert [(one.host, one.exception, one.blame) for one in record.failures] == [
            ("h1", "VolumeNotCreated", "DEPENDENCY")
        ]


def test_reason_that_quotes_the_cause_and_says_more_is_preferred() -> None:
    records = dsl.run("""
        T con action_start create
        V h1 instance.create.error building/spawning !NoMoreFixedIps
        T h1 fault !BuildAbortException>NoMoreFixedIps building/spawning
    """)
    assert [one.reason for one in records] == ["BuildAbortException on this host Cause: NoMoreFixedIps on this host"]


def test_class_without_a_text_for_users_has_a_sentence() -> None:
    (record,) = dsl.run("T api action_start stop\nV h1 exception compute_stop_instance !libvirtError")
    assert record.reason == "libvirtError: the host's disk or libvirt refused the operation; the operator can see why."


def test_facts_of_an_earlier_release_have_the_class_name_as_reason() -> None:
    known = dsl.facts("T api action_start stop\nV h1 exception compute_stop_instance !libvirtError")
    old = [
        fact if fact.failure is None else fact._replace(failure=fact.failure._replace(reason="libvirtError"))
        for fact in known
    ]
    assert derive_requests(dsl.INSTANCE, old)[0].reason == derive_requests(dsl.INSTANCE, known)[0].reason


def test_reason_of_a_request_tells_what_nova_tells_when_it_gives_up() -> None:
    script = """
        T con action_start create
        V h1 instance.create.error building/spawning !libvirtError
        V con compute_task.build_instances.error !MaxRetriesExceeded
    """
    (record,) = dsl.run(script)
    (failure,) = record.failures
    assert failure.reason is not None
    assert record.reason == f"{failure.reason} Nova gave up: MaxRetriesExceeded on this host"
    (record,) = dsl.run(script.replace("libvirtError", "MaxRetriesExceeded"))
    assert record.reason == "MaxRetriesExceeded on this host"
