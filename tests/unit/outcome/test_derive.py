"""Details of the derivation: steps, decisions, orphans, clocks that differ, what the library tells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from stumble.emitter.scopes import ActionScope
from stumble.outcome.derive import derive
from stumble.outcome.facts import MAX_FACTS, Fact, fact_of, union
from stumble.outcome.records import INTERRUPTED, Decision, RequestRecord
from stumble.wire import ids
from stumble.wire.codec import decode, encode
from stumble.wire.schemas import EVENT
from tests.unit.outcome import dsl

KEY = ids.request_key(dsl.INSTANCE, "req-1", "stop")
STOP = "T api action_start stop\nT h1 event_start compute_stop_instance"


def _decide(script: str, *decisions: Decision) -> list[str]:
    return [record.outcome for record in derive(dsl.INSTANCE, dsl.facts(script), decisions)]


def test_signals_of_failure_without_a_class_on_one_host_are_one_failure() -> None:
    told = {"instance_uuid": dsl.INSTANCE, "request_id": "req-1", "host": "h1", "service": "nova-compute"}
    signals = [("request", "START", "create"), ("event_start", "ERROR", None), ("action_start", "ERROR", None)]
    events = [
        {**told, "event_id": f"e{number}", "phase": phase, "action": action, "source": {"signal": signal}}
        for number, (signal, phase, action) in enumerate(signals)
    ]
    facts = [fact_of(decode(EVENT, encode(EVENT, event))) for event in events]
    (record,) = derive(dsl.INSTANCE, facts)
    assert [(one.host, one.exception, len(one.event_ids)) for one in record.failures] == [("h1", "UnknownError", 2)]


def test_two_attempts_of_a_step_are_two_failures_with_numbers() -> None:
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


def test_both_formats_show_one_run_of_a_step() -> None:
    (record,) = dsl.run("""
        VL h1 instance.power_off.start compute_stop_instance active/powering-off
        VL h1 instance.power_off.end compute_stop_instance stopped/-
    """)
    assert [(run.step, run.attempt, run.result) for run in record.steps] == [("compute_stop_instance", 1, "Success")]


def test_success_counts_whatever_the_clock_of_the_failed_host_says() -> None:
    facts = dsl.facts("""
        V h1 instance.create.error building/spawning !ComputeResourcesUnavailable
        V h2 instance.create.end active/-
    """)
    late = facts[0]._replace(at=facts[0].at + 3_600_000_000)
    (record,) = derive(dsl.INSTANCE, [late, facts[1]])
    assert record.outcome == "RECOVERED"


def test_a_failure_after_success_on_the_same_host_is_one() -> None:
    (record,) = dsl.run("""
        T api action_start rebuild
        V h1 instance.rebuild.end active/-
        T h1 event_finish compute_rebuild_instance !HypervisorUnavailable
    """)
    assert record.outcome == "FAILED"


def test_a_request_without_news_is_stalled_until_there_is_some() -> None:
    last = dsl.facts(STOP)[-1].at
    stalled = Decision(KEY, "STALLED", last + 10)
    assert _decide(STOP, stalled) == ["STALLED"]
    assert _decide(STOP + "\nT h1 event_finish.end compute_stop_instance", stalled) == ["SUCCEEDED"]
    assert _decide(STOP + "\nV h1 instance.power_off.start", stalled) == ["IN_PROGRESS"]


def test_news_from_before_a_decision_is_news_too() -> None:
    last = dsl.facts(STOP)[-1].at
    assert _decide(STOP, Decision(KEY, "STALLED", last + 10, {"facts": "2"})) == ["STALLED"]
    assert _decide(STOP, Decision(KEY, "STALLED", last + 10, {"facts": "1"})) == ["IN_PROGRESS"]


def test_a_request_that_a_restart_interrupted_has_failed_once() -> None:
    last = dsl.facts(STOP)[-1].at
    (record,) = derive(dsl.INSTANCE, dsl.facts(STOP), [Decision(KEY, "INTERRUPTED", last + 10, {"host": "h1"})])
    assert record.outcome == "FAILED"
    assert [(one.host, one.exception, one.blame) for one in record.failures] == [("h1", INTERRUPTED, "OPERATOR")]
    (record,) = derive(
        dsl.INSTANCE,
        dsl.facts(STOP + "\nV h1 instance.power_off.end stopped/- @req-init sys"),
        [Decision(KEY, "INTERRUPTED", last + 10, {"host": "h1"})],
    )
    assert record.outcome == "SUCCEEDED"


def test_a_periodic_failure_without_a_name_is_nobodys_failure() -> None:
    records = dsl.run("""
        T api action_start stop
        T h1 event_finish.end compute_stop_instance
        T h1 fault !HypervisorUnavailable active/- @req-periodic sys
    """)
    assert dsl.summary(records) == {"stop": "SUCCEEDED"}


def test_a_migration_that_is_closed_because_its_server_is_gone_is_no_request() -> None:
    closed = "T h2 migration sys @req-p !InstanceNotFound migration_type=resize migration_status=error"
    assert dsl.run(closed) == ()
    records = dsl.run(f"""
        T api action_start delete
        T h1 instance.delete.end
        {closed}
    """)
    assert [(record.action, record.outcome, record.failures) for record in records] == [("delete", "SUCCEEDED", ())]


def test_an_orphan_belongs_to_the_request_before_it() -> None:
    records = dsl.run("""
        T api action_start rebuild
        T h1 event_start compute_rebuild_instance
        T h1 fault !HypervisorUnavailable error/- @req-init sys
        T api action_start stop @req-2
    """)
    assert dsl.summary(records) == {"rebuild": "FAILED h1:HypervisorUnavailable(ERROR)", "stop": "IN_PROGRESS"}
    assert [record.request_id for record in records] == ["req-1", "req-2"]


def test_a_cancelled_request_is_linked_to_what_cancelled_it() -> None:
    records = dsl.run("""
        T con action_start create
        V h1 instance.create.error building/spawning !InstanceNotFound
        T api action_start delete @req-2
        V h1 instance.delete.end deleted/- @req-2
    """)
    create, delete = records
    assert (create.outcome, create.linked_request_key, create.failures) == ("CANCELLED", delete.request_key, ())


def test_what_deletes_leave_behind_stays_failed() -> None:
    records = dsl.run("""
        T api action_start stop
        T h1 event_finish compute_stop_instance !HypervisorUnavailable
        T api action_start delete @req-2
        V h1 instance.delete.end deleted/- @req-2
    """)
    assert dsl.summary(records) == {"stop": "FAILED h1:HypervisorUnavailable(UNKNOWN)", "delete": "SUCCEEDED"}


def test_a_soft_delete_cuts_nothing_short() -> None:
    records = dsl.run("""
        T api action_start createImage
        T api action_start delete @req-2
        V h1 instance.soft_delete.end soft-delete/- @req-2
    """)
    assert dsl.summary(records) == {"createImage": "IN_PROGRESS", "delete": "SUCCEEDED"}


def test_of_two_deletes_one_does_the_work() -> None:
    records = dsl.run("""
        T api action_start delete
        T api action_start delete @req-2
        V h1 instance.delete.end deleted/-
        T h1 event_finish compute_terminate_instance !InstanceNotFound @req-2
    """)
    assert dsl.summary(records) == {"delete": "SUCCEEDED", "delete#1": "CANCELLED"}


def test_the_reason_is_never_that_of_a_wrapper() -> None:
    (record,) = dsl.run("""
        T con action_start create
        T h1 fault !BuildAbortException>FlavorDiskTooSmall building/spawning
    """)
    assert record.reason == "FlavorDiskTooSmall"
    (record,) = dsl.run("T con action_start create\nT h1 fault !BuildAbortException building/spawning")
    assert record.reason == "BuildAbortException"


def test_who_asked_and_who_owns() -> None:
    (record,) = dsl.run("T api action_start stop\nV h1 instance.power_off.end stopped/-")
    assert (record.owner_project_id, record.initiator_user_id, record.initiator_project_id) == (
        "owner",
        "user",
        "project",
    )
    assert record.display_name == "server"


class Library:
    """The library's context managers, with the facts of what they tell."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.action = ActionScope(self._emit, {"action": "backup-volume", "request_id": "req-1", "host": "h1"})

    def _emit(self, event: Mapping[str, Any]) -> bool:
        at = dsl.T0 + len(self.facts)
        told = decode(EVENT, encode(EVENT, {**dsl.blank(), **event, "occurred_at": at}))
        self.facts.append(fact_of(told | {"event_id": ids.new_event_id(at)}))
        return True

    def record(self) -> RequestRecord:
        (record,) = derive(dsl.INSTANCE, self.facts)
        assert (record,) == derive(dsl.INSTANCE, self.facts[::-1])
        return record


def test_the_library_states_success() -> None:
    library = Library()
    with library.action as action:
        assert library.record().outcome == "IN_PROGRESS"
        with action.step("copy"):
            pass
        assert library.record().outcome == "IN_PROGRESS"
    assert library.record().outcome == "SUCCEEDED"
    assert library.record().action == "backup-volume"


def test_the_library_states_failure_once() -> None:
    library = Library()
    with pytest.raises(RuntimeError), library.action as action, action.step("copy", attempt=1):
        raise RuntimeError("no space")
    record = library.record()
    assert record.outcome == "FAILED"
    assert [(one.step, one.exception, len(one.event_ids)) for one in record.failures] == [("copy", "RuntimeError", 2)]


def test_the_library_retries() -> None:
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


def test_the_library_cancels() -> None:
    library = Library()
    with library.action as action:
        with action.step("copy") as step:
            step.cancel()
        assert library.record().outcome == "IN_PROGRESS"
        action.cancel()
    assert library.record().outcome == "CANCELLED"


def test_a_set_of_facts_is_bounded_and_keeps_what_decides() -> None:
    (noise,) = dsl.facts("V h1 instance.update active/-")
    many = [noise._replace(at=noise.at + n, event_id=ids.new_event_id(noise.at + n)) for n in range(2 * MAX_FACTS)]
    deciding = dsl.facts(STOP + "\nT h1 event_finish.end compute_stop_instance")
    whole = union(many, deciding)
    assert len(whole) == MAX_FACTS
    assert set(deciding) <= set(whole)
    assert union(union((), many[:300]), [*many[300:], *deciding]) == whole
    assert union(union(many[200:], deciding), many[:200]) == whole


def test_records_are_frozen() -> None:
    (record,) = dsl.run(STOP)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.outcome = "SUCCEEDED"  # type: ignore[misc]


def test_an_abort_is_of_one_migration() -> None:
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


def test_a_migration_that_failed_on_its_own_was_not_aborted() -> None:
    records = dsl.run("""
        T api action_start live-migration
        T api action_start live_migration_cancel @req-2
        V h1 instance.live_migration_abort.start @req-2
        V h1 instance.live_migration_rollback.start
        T h1 migration migration_type=live-migration migration_status=error !libvirtError
    """)
    assert records[0].outcome == "FAILED"
