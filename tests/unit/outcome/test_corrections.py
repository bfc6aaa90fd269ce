"""What was published is corrected when more arrives, and a subscriber that keeps the last word is right."""

from __future__ import annotations

from stumble.outcome import diff as differ
from stumble.outcome.facts import Fact
from stumble.outcome.records import FAILED, IN_PROGRESS, SUCCEEDED
from tests.unit.outcome import dsl
from tests.unit.outcome.test_properties import Store


def _publish(*batches: list[Fact]) -> tuple[Store, list[list[tuple[str, str, str]]]]:
    """Return the store after the batches, and of each batch what it published: (kind, status, class or outcome)."""
    store = Store()
    told = []
    for batch in batches:
        before = len(store.spoken)
        store.add(batch)
        store.check()
        told.append([_in_words(store, one) for one in store.spoken[before:]])
    return store, told


def _in_words(store: Store, one: differ.Publication) -> tuple[str, str, str]:
    if one.record is None:
        return one.kind, one.status, store.names[one.replaced_by] if one.replaced_by else ""
    name = one.record.outcome if one.kind == "outcome" else f"{one.record.host}:{one.record.exception}"
    return one.kind, one.status, name


def test_a_verdict_before_its_cause() -> None:
    facts = dsl.facts("""
        V con compute_task.build_instances !MaxRetriesExceeded error/-
        V h1 instance.create.error building/spawning !libvirtError
    """)
    store, told = _publish(facts[:1], facts[1:])
    assert told[0] == [("outcome", "CURRENT", FAILED), ("failure", "CURRENT", "con:MaxRetriesExceeded")]
    assert ("failure", "CURRENT", "h1:libvirtError") in told[1]
    assert ("failure", "SUPERSEDED", "h1:libvirtError") in told[1]
    assert ("outcome", "CURRENT", FAILED) in told[1]
    (record,) = store.rows.values()
    assert record.verdict == "MaxRetriesExceeded"


def test_a_wrapper_before_its_cause() -> None:
    facts = dsl.facts("""
        T h1 fault !BuildAbortException building/spawning
        V h1 instance.create.error building/spawning !FlavorDiskTooSmall
    """)
    store, told = _publish(facts[:1], facts[1:])
    assert told[0] == [("failure", "CURRENT", "h1:BuildAbortException")] or told[0][0][0] == "outcome"
    assert ("failure", "SUPERSEDED", "h1:FlavorDiskTooSmall") in told[1]
    assert [one.exception for one in store.failures.values()] == ["FlavorDiskTooSmall"]


def test_a_resize_before_it_is_a_migrate() -> None:
    facts = dsl.facts("""
        V h2 instance.resize_prep.start active/resize_prep
        V h2 exception compute_prep_resize !ResizeError
        T api action_start migrate
    """)
    store, told = _publish(facts[:2], facts[2:])
    assert ("failure", "CURRENT", "h2:ResizeError") in told[0]
    # The key and the failure's id stay: only the action is corrected, in both.
    assert sorted(told[1]) == [("failure", "CURRENT", "h2:ResizeError"), ("outcome", "CURRENT", FAILED)]
    (record,) = store.rows.values()
    assert record.action == "migrate"
    assert store.entered["requests", "migrate", FAILED] == store.left["requests", "resize", FAILED] == 1


def test_an_unknown_action_that_becomes_known() -> None:
    facts = dsl.facts("""
        V con exception !NoValidHost
        T api action_start live-migration
    """)
    store, told = _publish(facts[:1], facts[1:])
    assert told[0] == [("outcome", "CURRENT", FAILED), ("failure", "CURRENT", "con:NoValidHost")]
    assert ("outcome", "SUPERSEDED", FAILED) in told[1]
    assert ("failure", "SUPERSEDED", "con:NoValidHost") in told[1]
    assert store.entered["requests", "other", FAILED] == store.left["requests", "other", FAILED] == 1


def test_a_conductor_that_repeats_before_the_compute_speaks() -> None:
    facts = dsl.facts("""
        T con event_finish conductor_live_migrate_instance !HypervisorUnavailable
        T h2 event_finish compute_check_can_live_migrate_destination !HypervisorUnavailable
    """)
    store, told = _publish(facts[:1], facts[1:])
    assert ("failure", "CURRENT", "con:HypervisorUnavailable") in told[0]
    assert ("failure", "SUPERSEDED", "h2:HypervisorUnavailable") in told[1]
    assert [one.host for one in store.failures.values()] == ["h2"]


def test_a_race_is_retracted_when_it_turns_out_to_be_one() -> None:
    facts = dsl.facts("""
        T api action_start stop
        T h1 event_finish compute_stop_instance !InstanceNotFound
        T api action_start delete @req-2
        T h1 event_finish.end compute_terminate_instance @req-2
    """)
    early = facts[2]._replace(at=facts[0].at)
    store, told = _publish(facts[:2], [early, facts[3]])
    assert ("failure", "CURRENT", "h1:InstanceNotFound") in told[0]
    assert ("failure", "RETRACTED", "") in told[1]
    assert store.failures == {}


def test_an_outcome_goes_back_to_in_progress() -> None:
    facts = dsl.facts("""
        V h1 instance.shelve.start active/shelving
        V h1 instance.shelve.end shelved/-
        T h1 event_start compute_shelve_instance
        T h1 event_finish.end compute_shelve_instance
    """)
    store, told = _publish(facts[:2], facts[2:3], facts[3:])
    assert told == [
        [("outcome", "CURRENT", SUCCEEDED)],
        [("outcome", "CURRENT", IN_PROGRESS)],
        [("outcome", "CURRENT", SUCCEEDED)],
    ]
    assert store.entered["requests", "shelve", SUCCEEDED] == 2
    assert store.left["requests", "shelve", SUCCEEDED] == 1
    assert store.entered["open", "shelve"] == store.left["open", "shelve"]


def test_what_is_in_progress_is_not_published() -> None:
    _, told = _publish(dsl.facts("T api action_start stop"))
    assert told == [[]]


def test_another_sighting_of_a_published_failure_says_nothing_new() -> None:
    facts = dsl.facts("""
        V h1 instance.volume_attach.error active/- !VolumeAttachFailed
        L h1 exception !VolumeAttachFailed
    """)
    store, told = _publish(facts[:1], facts[1:])
    assert len(told[0]) == 2
    assert told[1] == []
    (failure,) = store.failures.values()
    assert len(failure.event_ids) == 2


def test_a_subject_that_comes_back_is_announced_again() -> None:
    (record,) = dsl.run("T api action_start stop\nT h1 event_finish compute_stop_instance !HypervisorUnavailable")
    stored = differ.diff((), [record]).stored
    gone = differ.diff(stored, [])
    assert [(one.status, one.replaced_by) for one in gone.publications] == [("RETRACTED", None)] * 2
    again = differ.diff(differ.unpack_stored(differ.pack_stored(gone.stored)), [record])
    assert [one.status for one in again.publications] == ["CURRENT", "CURRENT"]
    assert again.delete_requests == []
    assert again.counter_deltas["requests", "stop", FAILED] == (1, 0)


def test_nothing_changes_without_a_change() -> None:
    records = dsl.run("T api action_start stop\nT h1 event_finish compute_stop_instance !HypervisorUnavailable")
    first = differ.diff((), records)
    second = differ.diff(first.stored, records)
    assert second.stored == first.stored
    assert not any((second.upsert_requests, second.upsert_failures, second.counter_deltas, second.publications))
