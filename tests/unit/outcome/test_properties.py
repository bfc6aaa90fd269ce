"""The final state is independent of order, duplicates and batching; counters and subscribers match it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stumble.outcome import diff as differ
from stumble.outcome import rules, signals
from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import (
    EventOrigin,
    Fact,
    FactExtra,
    FactSighting,
    has_context,
    merge_facts,
    pack_facts,
    unpack_facts,
)
from stumble.outcome.records import IN_PROGRESS, FailureRecord, RequestRecord
from tests.unit.outcome import dsl
from tests.unit.outcome.scenarios import SCENARIOS

_ALL = {scenario.name: tuple(dsl.facts(scenario.script)) for scenario in SCENARIOS}


class Store:
    """The state of a projector (fact sets, stored records, counters) and of a subscriber."""

    def __init__(self) -> None:
        self.sets: dict[str | None, bytes] = {}
        self.stored: dict[str | None, bytes] = {}
        self.context = False
        self.rows: dict[str, RequestRecord] = {}
        self.failures: dict[str, Any] = {}
        self.entered: Counter[differ.CounterKey] = Counter()
        self.withdrawn: Counter[differ.CounterKey] = Counter()
        self.latest: dict[tuple[str, str], differ.Publication] = {}
        self.publications: list[differ.Publication] = []
        self.names: dict[str, str] = {}

    def add(self, batch: list[Fact]) -> None:
        touched = {fact.origin.request_id for fact in batch}
        for request_id in touched:
            known = unpack_facts(self.sets[request_id]) if request_id in self.sets else ()
            self.sets[request_id] = pack_facts(
                merge_facts(known, [f for f in batch if f.origin.request_id == request_id])
            )
        all_facts = {key: unpack_facts(packed) for key, packed in self.sets.items()}
        self.context = self.context or any(has_context(facts) for facts in all_facts.values())
        loaded = set(all_facts) if self.context else touched
        if self.context:
            self._apply(loaded, all_facts)
        else:
            for one in sorted(touched, key=str):
                self._apply({one}, all_facts)

    def _apply(self, loaded: set[str | None], all_facts: dict[str | None, tuple[Fact, ...]]) -> None:
        derived = derive_requests(dsl.INSTANCE, [fact for key in loaded for fact in all_facts[key]])
        stored = [one for key in loaded if key in self.stored for one in differ.unpack_stored(self.stored[key])]
        change = differ.compute_difference(stored, derived)
        for key in loaded:
            self.stored[key] = differ.pack_stored([one for one in change.stored if one.request_id == key])
        for key in change.delete_requests:
            del self.rows[key]
        self.rows |= {record.request_key: record for record in change.upsert_requests}
        for key in change.delete_failures:
            del self.failures[key]
        self.failures |= {failure.failure_id: failure for _, failure in change.upsert_failures}
        for counter, (entered, withdrawn) in change.counter_deltas.items():
            self.entered[counter] += entered
            self.withdrawn[counter] += withdrawn
        for publication in change.publications:
            self.latest[publication.kind, publication.subject_id] = publication
            self.publications.append(publication)
            if isinstance(publication.record, FailureRecord):
                self.names[publication.subject_id] = f"{publication.record.host}:{publication.record.exception}"
            elif publication.record is not None:
                self.names[publication.subject_id] = publication.record.outcome

    def check(self) -> None:
        """Check that the store equals one derivation of all facts."""
        all_facts = [fact for packed in self.sets.values() for fact in unpack_facts(packed)]
        derived = {record.request_key: record for record in derive_requests(dsl.INSTANCE, all_facts)}
        assert self.rows == derived
        failures = {one.failure_id: one for record in derived.values() for one in record.failures}
        assert self.failures == failures
        net = {name: self.entered[name] - self.withdrawn[name] for name in self.entered | self.withdrawn}
        assert {name: value for name, value in net.items() if value} == differ.counters_of(derived.values())
        self._check_subscriber(derived, failures)

    def _check_subscriber(self, derived: dict[str, RequestRecord], failures: dict[str, Any]) -> None:
        current = {key: one.record for key, one in self.latest.items() if one.status == differ.CURRENT}
        published = {key[1]: record for key, record in current.items() if key[0] == "failure"}
        assert {key: _comparable_failure(one) for key, one in published.items()} == {
            key: _comparable_failure(one) for key, one in failures.items()
        }
        outcomes = {key[1]: record for key, record in current.items() if key[0] == "outcome"}
        for key, record in derived.items():
            if key in outcomes or record.outcome != IN_PROGRESS:
                assert _comparable_outcome(outcomes[key]) == _comparable_outcome(record)
        assert set(outcomes) <= set(derived)
        for one in self.latest.values():
            if one.status == differ.SUPERSEDED:
                assert one.replaced_by != one.subject_id


def _comparable_failure(failure: Any) -> Any:
    return dataclasses.replace(
        failure,
        event_ids=(),
        detail_event_id=None,
        chain=(),
        migration_id=None,
        source_host=None,
        dest_host=None,
    )


def _comparable_outcome(record: Any) -> Any:
    return (record.action, record.outcome, record.verdict, record.reason, record.effect, record.finished_at)


@pytest.mark.parametrize("name", _ALL)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_facts_of_a_scenario_in_any_order_give_the_same_state(name: str, data: st.DataObject) -> None:
    facts = list(_ALL[name])
    arriving = data.draw(st.permutations(facts + data.draw(st.lists(st.sampled_from(facts), max_size=5))))
    store = Store()
    while arriving:
        size = data.draw(st.integers(1, len(arriving)))
        store.add(arriving[:size])
        arriving = arriving[size:]
    store.check()
    assert derive_requests(dsl.INSTANCE, facts) == derive_requests(dsl.INSTANCE, facts[::-1] + facts)


_SIGNALS = ["action_start", "event_start", "event_finish", "fault", "exception", "migration", "request", "step"]
_SIGNALS += ["instance.update", "instance.exists", *sorted(signals.GIVING_UP), *sorted(signals.SIGNAL_ACTIONS)]
_CLASSES = ["NoValidHost", "MaxRetriesExceeded", "BuildAbortException", "RescheduledException", "InstanceNotFound"]
_CLASSES += ["UnexpectedDeletingTaskStateError", "MigrationPreCheckError", "libvirtError", "RemoteError", "ResizeError"]

_SIGHTINGS = st.builds(
    FactSighting,
    exception=st.sampled_from(_CLASSES),
    chain=st.lists(st.sampled_from(_CLASSES), max_size=2).map(tuple),
    code=st.none(),
    reason=st.none(),
    blame=st.sampled_from(["UNKNOWN", "OPERATOR"]),
    retryable=st.none(),
    message=st.none(),
    token=st.none(),
    remote=st.booleans(),
    detail=st.booleans(),
)
_EXTRAS = st.builds(
    FactExtra,
    migration_id=st.none(),
    migration_type=st.sampled_from([None, "live-migration", "migration"]),
    migration_status=st.sampled_from([None, "error", "completed", "cancelled", "running"]),
    source_host=st.none(),
    dest_host=st.none(),
    target_kind=st.none(),
    target_id=st.sampled_from([None, "vol-1", "vol-2"]),
    step_id=st.none(),
    attempt_id=st.sampled_from([None, "a"]),
    outcome=st.sampled_from([None, None, "CANCELLED"]),
)
_USERS = st.sampled_from([None, "user"])


def _origin(request_id: str | None, service: str, host: str | None, user: str | None) -> EventOrigin:
    return EventOrigin(
        request_id=request_id,
        service=service,
        host=host,
        node=None,
        cell=None,
        region=None,
        availability_zone=None,
        cloud=None,
        global_request_id=None,
        owner_project_id=None,
        initiator_user_id=user,
        initiator_project_id=user,
        display_name=None,
        labels=("rack", "r1") if user else (),
    )


_ORIGINS = st.builds(
    _origin,
    st.sampled_from([None, "req-1", "req-2", "req-3"]),
    st.sampled_from(["nova-compute", "nova-conductor", "nova-api"]),
    st.sampled_from([None, "h1", "h2"]),
    _USERS,
)
_FACTS = st.builds(
    Fact,
    at=st.integers(0, 30),
    event_id=st.uuids().map(str),
    signal=st.sampled_from(_SIGNALS),
    phase=st.sampled_from(["START", "PROGRESS", "END", "ERROR"]),
    action=st.sampled_from([None, *rules.ACTIONS, "unknown-action"]),
    step=st.sampled_from([None, *sorted(signals.STEP_ACTIONS)]),
    state=st.sampled_from([None, ("active", None, None, None), ("error", "deleting", "active", None)]),
    failure=st.one_of(st.none(), _SIGHTINGS),
    extra=st.one_of(st.none(), _EXTRAS),
    origin=_ORIGINS,
)


@settings(max_examples=100, deadline=None)
@given(facts=st.lists(_FACTS, max_size=14, unique_by=lambda fact: fact.event_id), data=st.data())
def test_random_facts_in_any_order_give_the_same_state(facts: list[Fact], data: st.DataObject) -> None:
    arriving = data.draw(st.permutations(facts))
    store = Store()
    while arriving:
        size = data.draw(st.integers(1, len(arriving)))
        store.add(arriving[:size])
        arriving = arriving[size:]
    store.check()
    keys = [record.request_key for record in derive_requests(dsl.INSTANCE, facts)]
    assert len(keys) == len(set(keys))
    failures = [one.failure_id for record in derive_requests(dsl.INSTANCE, facts) for one in record.failures]
    assert len(failures) == len(set(failures))


@pytest.mark.parametrize("name", _ALL)
def test_facts_are_unchanged_after_packing(name: str) -> None:
    facts = merge_facts((), _ALL[name])
    assert unpack_facts(pack_facts(facts)) == facts


def test_facts_that_were_stored_without_a_claimed_time_are_read() -> None:
    facts = tuple(dsl.facts("T h1 migration migration_type=live-migration migration_status=running"))
    version, origins, [row] = orjson.loads(pack_facts(facts))
    without = [list(part[:-1]) if part == list(facts[0].extra or ()) else part for part in row]
    assert without != row
    assert unpack_facts(orjson.dumps((version, origins, [without]))) == facts
