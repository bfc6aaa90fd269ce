"""Published records are corrected when more facts arrive; a subscriber that keeps the last revision is right."""

from __future__ import annotations

from stumble.outcome import diff as differ
from stumble.outcome.facts import Fact
from stumble.outcome.records import FAILED, IN_PROGRESS, SUCCEEDED, RequestRecord
from tests.unit.outcome import dsl
from tests.unit.outcome.test_properties import Store


def _publish(*batches: list[Fact]) -> tuple[Store, list[list[tuple[str, str, str]]]]:
    """Return the store after the batches, and the publications of each batch: (kind, status, class or outcome)."""
    store = Store()
    published = []
    for batch in batches:
        before = len(store.publications)
        store.add(batch)
        store.check()
        published.append([_describe(store, one) for one in store.publications[before:]])
    return store, published


def _describe(store: Store, one: differ.Publication) -> tuple[str, str, str]:
    if one.record is None:
        return one.kind, one.status, store.names[one.replaced_by] if one.replaced_by else ""
    if isinstance(one.record, RequestRecord):
        assert one.kind == "outcome"
        return one.kind, one.status, one.record.outcome
    assert one.kind == "failure"
    return one.kind, one.status, f"{one.record.host}:{one.record.exception}"


def test_verdict_is_superseded_when_its_cause_arrives() -> None:
    facts = dsl.facts("""
        V con compute_task.build_instances !MaxRetriesExceeded error/-
        V h1 instance.create.error building/spawning !libvirtError
    """)
    store, published = _publish(facts[:1], facts[1:])
    assert published[0] == [("outcome", "CURRENT", FAILED), ("failure", "CURRENT", "con:MaxRetriesExceeded")]
    assert ("failure", "CURRENT", "h1:libvirtError") in published[1]
    assert ("failure", "SUPERSEDED", "h1:libvirtError") in published[1]
    assert ("outcome", "CURRENT", FAILED) in published[1]
    (record,) = store.rows.values()
    assert record.verdict == "MaxRetriesExceeded"


def test_wrapper_is_superseded_when_its_cause_arrives() -> None:
    facts = dsl.facts("""
        T h1 fault !BuildAbortException building/spawning
        V h1 instance.create.error building/spawning !FlavorDiskTooSmall
    """)
    store, published = _publish(facts[:1], facts[1:])
    assert published[0] == [("outcome", "CURRENT", FAILED), ("failure", "CURRENT", "h1:BuildAbortException")]
    assert ("failure", "SUPERSEDED", "h1:FlavorDiskTooSmall") in published[1]
    assert [one.exception for one in store.failures.values()] == ["FlavorDiskTooSmall"]


def test_resize_is_corrected_to_migrate_and_keeps_its_ids() -> None:
    facts = dsl.facts("""
        V h2 instance.resize_prep.start active/resize_prep
        V h2 exception compute_prep_resize !ResizeError
        T api action_start migrate
    """)
    store, published = _publish(facts[:2], facts[2:])
    assert ("failure", "CURRENT", "h2:ResizeError") in published[0]
    # The key and the failure's id stay: only the action is corrected, in both.
    assert sorted(published[1]) == [("failure", "CURRENT", "h2:ResizeError"), ("outcome", "CURRENT", FAILED)]
    (record,) = store.rows.values()
    assert record.action == "migrate"
    assert store.entered["requests", "migrate", FAILED] == store.withdrawn["requests", "resize", FAILED] == 1


def test_unknown_action_is_superseded_when_it_becomes_known() -> None:
    facts = dsl.facts("""
        V con exception !NoValidHost
        T api action_start live-migration
    """)
    store, published = _publish(facts[:1], facts[1:])
    assert published[0] == [("outcome", "CURRENT", FAILED), ("failure", "CURRENT", "con:NoValidHost")]
    assert ("outcome", "SUPERSEDED", FAILED) in published[1]
    assert ("failure", "SUPERSEDED", "con:NoValidHost") in published[1]
    assert store.entered["requests", "other", FAILED] == store.withdrawn["requests", "other", FAILED] == 1


def test_failure_of_the_conductor_is_superseded_by_that_of_the_compute() -> None:
    facts = dsl.facts("""
        T con event_finish conductor_live_migrate_instance !HypervisorUnavailable
        T h2 event_finish compute_check_can_live_migrate_destination !HypervisorUnavailable
    """)
    store, published = _publish(facts[:1], facts[1:])
    assert ("failure", "CURRENT", "con:HypervisorUnavailable") in published[0]
    assert ("failure", "SUPERSEDED", "h2:HypervisorUnavailable") in published[1]
    assert [one.host for one in store.failures.values()] == ["h2"]


def test_failure_is_retracted_when_a_delete_explains_it() -> None:
    facts = dsl.facts("""
        T api action_start stop
        T h1 event_finish compute_stop_instance !InstanceNotFound
        T h1 event_start compute_terminate_instance @req-2
        T h1 event_finish.end compute_terminate_instance @req-2
    """)
    early = facts[2]._replace(at=facts[0].at)
    store, published = _publish(facts[:2], [early, facts[3]])
    assert ("failure", "CURRENT", "h1:InstanceNotFound") in published[0]
    assert ("failure", "RETRACTED", "") in published[1]
    assert store.failures == {}


def test_outcome_can_change_back_to_in_progress() -> None:
    facts = dsl.facts("""
        V h1 instance.shelve.start active/shelving
        V h1 instance.shelve.end shelved/-
        T h1 event_start compute_shelve_instance
        T h1 event_finish.end compute_shelve_instance
    """)
    store, published = _publish(facts[:2], facts[2:3], facts[3:])
    assert published == [
        [("outcome", "CURRENT", SUCCEEDED)],
        [("outcome", "CURRENT", IN_PROGRESS)],
        [("outcome", "CURRENT", SUCCEEDED)],
    ]
    assert store.entered["requests", "shelve", SUCCEEDED] == 2
    assert store.withdrawn["requests", "shelve", SUCCEEDED] == 1
    assert store.entered["open", "shelve"] == store.withdrawn["open", "shelve"]


def test_request_in_progress_is_not_published() -> None:
    _, published = _publish(dsl.facts("T api action_start stop"))
    assert published == [[]]


def test_second_sighting_of_a_failure_publishes_nothing() -> None:
    facts = dsl.facts("""
        V h1 instance.volume_attach.error active/- !VolumeAttachFailed
        L h1 exception !VolumeAttachFailed
    """)
    store, published = _publish(facts[:1], facts[1:])
    assert len(published[0]) == 2
    assert published[1] == []
    (failure,) = store.failures.values()
    assert len(failure.event_ids) == 2


def test_retracted_records_are_published_again_when_they_return() -> None:
    (record,) = dsl.run("T api action_start stop\nT h1 event_finish compute_stop_instance !HypervisorUnavailable")
    stored = differ.compute_difference((), [record]).stored
    withdrawn = differ.compute_difference(stored, [])
    assert [(one.status, one.replaced_by) for one in withdrawn.publications] == [("RETRACTED", None)] * 2
    republished = differ.compute_difference(differ.unpack_stored(differ.pack_stored(withdrawn.stored)), [record])
    assert [one.status for one in republished.publications] == ["CURRENT", "CURRENT"]
    assert republished.delete_requests == []
    assert republished.counter_deltas["requests", "stop", FAILED] == (1, 0)


def test_diff_of_equal_records_is_empty() -> None:
    records = dsl.run("T api action_start stop\nT h1 event_finish compute_stop_instance !HypervisorUnavailable")
    first = differ.compute_difference((), records)
    second = differ.compute_difference(first.stored, records)
    assert second.stored == first.stored
    assert not any((second.upsert_requests, second.upsert_failures, second.counter_deltas, second.publications))
