"""Simulator and derivation are independent: for the same events they must give the same records."""

from __future__ import annotations

from collections import defaultdict

import pytest

from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import Fact, fact_of
from stumble.outcome.records import RequestRecord
from stumble.simulator import Disturbance, Stream, StreamSettings, Truth
from stumble.wire.codec import decode_record, encode_record
from stumble.wire.schemas import EVENT


def truths_and_records(settings: StreamSettings) -> tuple[list[Truth], dict[str, RequestRecord]]:
    """Return the truths of a stream, and the records derived from its events by request key."""
    truths: list[Truth] = []
    facts: defaultdict[str, dict[str, Fact]] = defaultdict(dict)
    for item in Stream(settings):
        truths += item.truths
        event = decode_record(EVENT, encode_record(EVENT, item.event))
        facts[event["request_id"]][event["event_id"]] = fact_of(event)
    instances: defaultdict[str, set[str]] = defaultdict(set)
    for truth in truths:
        instances[truth.instance_uuid].add(truth.request_id)
    derived = {}
    for uuid, request_ids in instances.items():
        known = [fact for request_id in request_ids for fact in facts[request_id].values()]
        derived.update({record.request_key: record for record in derive_requests(uuid, known)})
    return truths, derived


def expected_fields(truth: Truth) -> tuple[object, ...]:
    failures = sorted((failure.failure_id, failure.host, failure.exception) for failure in truth.failures)
    return truth.story, truth.action, truth.outcome, truth.verdict, failures


@pytest.mark.parametrize("seed", [11, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (12, 13))])
def test_derived_records_equal_the_truth(seed: int) -> None:
    disturbed = Disturbance(duplicates=0.05, disorder=0.1)
    truths, derived = truths_and_records(
        StreamSettings(seed=seed, instances=300, events=12_000, failures=0.5, rate=1000, disturbance=disturbed)
    )
    assert {truth.request_key for truth in truths} == set(derived)
    for truth in truths:
        record = derived[truth.request_key]
        failures = sorted((failure.failure_id, failure.host, failure.exception) for failure in record.failures)
        assert (truth.story, record.action, record.outcome, record.verdict, failures) == expected_fields(truth)


@pytest.mark.parametrize("seed", [21, pytest.param(22, marks=pytest.mark.slow)])
def test_derived_effect_is_right_or_unknown(seed: int) -> None:
    """The effect stays unknown if no signal shows the state afterwards."""
    truths, derived = truths_and_records(StreamSettings(seed=seed, instances=300, events=6000, failures=0.5, rate=1000))
    for truth in truths:
        assert derived[truth.request_key].effect in {truth.effect, "UNKNOWN"}, truth
