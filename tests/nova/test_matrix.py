"""Every scenario, on every release, by every way, from the recordings that `make nova-matrix` makes of real Nova."""

from __future__ import annotations

import re
from dataclasses import replace
from uuid import UUID

import pytest
from novaharness.vocabulary import ANY_CLASS, Expected

from tests.nova import judge
from tests.nova.conftest import SCENARIOS  # sets the path that the table is imported from
from tests.nova.matrix import results, table
from tests.nova.matrix.grade import EFFECT, INCOMPLETE, RIGHT, WRONG, grade
from tests.nova.matrix.recording import (
    RELEASES,
    RecordingError,
    hashes_in,
    require_same_events,
    stale,
    text_of,
)
from tests.nova.matrix.signals import driver_events
from tests.nova.matrix.ways import TAPPED, WAYS, Way, events_by, items

RECORD_AGAIN = "run make nova-matrix, and commit what it writes"
FULL, BRIDGE = WAYS[2], WAYS[-1]


@pytest.mark.parametrize("release", RELEASES)
def test_recordings_match_the_scenario_table(release: str) -> None:
    assert stale(hashes_in(release)) == [], RECORD_AGAIN


def test_page_matches_the_recordings() -> None:
    assert table.FILE.read_text(encoding="utf-8") == table.document(), RECORD_AGAIN


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.key)
@pytest.mark.parametrize("release", RELEASES)
def test_each_way_derives_what_the_table_expects_and_nothing_wrong(release: str, way: Way) -> None:
    assert results.violations(release, way) == []


def test_exceptions_of_ways_name_existing_scenarios_and_ways() -> None:
    names, keys = {scenario.name for scenario in SCENARIOS}, {way.key for way in WAYS if way not in TAPPED}
    assert set(results.BEYOND) <= names
    assert {key for ways in results.BEYOND.values() for key in ways} <= keys


@pytest.mark.parametrize("release", RELEASES)
def test_driver_and_bridge_together_record_each_failure_once(release: str) -> None:
    wrong = {}
    for played in results.recording_of(release).played:
        both = [*events_by(FULL, played), *events_by(BRIDGE, played)]
        expected = results.EXPECTED[played.scenario]
        for events in (both, both[::-1]):
            if differences := judge.differences(expected, items(events, played)):
                wrong[played.scenario] = differences
    assert wrong == {}


@pytest.mark.parametrize("release", RELEASES)
def test_all_functions_are_tapped_in_every_release(release: str) -> None:
    assert results.recording_of(release).tap == "on"


@pytest.mark.parametrize("release", RELEASES)
def test_recordings_contain_nothing_of_the_machine(release: str) -> None:
    absolute = r"(?<![\w.])/[^\s\"]*site-packages|/(?:root|home|Users)/[^\s\"]*|novaharness-\w+"
    assert re.findall(absolute, text_of(release)) == []


def test_recording_that_is_not_what_the_driver_emitted_is_refused() -> None:
    call = {"kind": "event_start", "call_id": "1" * 32, "time_us": 1, "instance_uuid": str(UUID(int=1)), "step": "a"}
    signals = {"a scenario": [{"host": "host1", "ctxt": {}, "call": call}]}
    (event,) = driver_events(signals["a scenario"])
    require_same_events(signals, [event])
    with pytest.raises(RecordingError, match="1 events differ"):
        require_same_events(signals, [{**event, "step": "b"}])
    with pytest.raises(RecordingError, match="1 events differ"):
        require_same_events(signals, [])


STOPPED = Expected("stop", "FAILED", (("host1", "InstancePowerOffFailure"),), None, "NONE")


def item(outcome: str, *failures: tuple[str, str], effect: str = "UNKNOWN") -> dict[str, object]:
    """A record of a stop."""
    rows = [{"host": host, "exception": exception, "blame": "UNKNOWN", "reason": None} for host, exception in failures]
    record = {"action": "stop", "outcome": outcome, "verdict": None, "effect": effect, "reason": None}
    return {**record, "failures": rows}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (item("FAILED", STOPPED.failures[0], effect="NONE"), RIGHT),
        (item("FAILED", STOPPED.failures[0]), EFFECT),
        (item("FAILED", STOPPED.failures[0], effect="ERROR"), WRONG),
        (item("STALLED"), INCOMPLETE),
        (item("FAILED"), INCOMPLETE),
        (item("SUCCEEDED"), WRONG),
        (item("FAILED", ("host2", "InstancePowerOffFailure")), WRONG),
        (item("FAILED", STOPPED.failures[0], STOPPED.failures[0]), WRONG),
    ],
)
def test_grade_of_one_request(record: dict[str, object], expected: str) -> None:
    assert grade((STOPPED,), [record])[0] == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"blame": ("UNKNOWN",)}, RIGHT),
        ({"blame": ("OPERATOR",)}, INCOMPLETE),
        ({"reason_has": ("no reaction",)}, RIGHT),
        ({"reason_has": ("No Reaction", "the guest")}, INCOMPLETE),
        ({"reason_lacks": ("192.0.2.1",)}, RIGHT),
        ({"reason_lacks": ("reaction",)}, WRONG),
        ({"failures": (("host1", ANY_CLASS),)}, RIGHT),
        ({"failures": (("host2", ANY_CLASS),)}, WRONG),
    ],
)
def test_grade_of_blame_reason_and_any_class(wanted: dict[str, tuple[str, ...]], expected: str) -> None:
    record = item("FAILED", STOPPED.failures[0], effect="NONE") | {"reason": "There is no reaction."}
    assert grade((replace(STOPPED, **wanted),), [record])[0] == expected


def test_other_blame_is_wrong() -> None:
    record = item("FAILED", STOPPED.failures[0], effect="NONE")
    record["failures"] = [{**failure, "blame": "USER"} for failure in record["failures"]]  # type: ignore[attr-defined]
    assert grade((replace(STOPPED, blame=("OPERATOR",)),), [record])[0] == WRONG


def test_each_of_two_requests_is_compared_with_its_own_expectation() -> None:
    """One call extends two volumes: a failure of one is no failure of the other."""
    two = (Expected("stop", "SUCCEEDED"), STOPPED)
    failed, open_ = item("FAILED", STOPPED.failures[0], effect="NONE"), item("STALLED")
    assert grade(two, [failed, item("SUCCEEDED", effect="NONE")])[0] == RIGHT
    assert grade(two, [failed])[0] == grade(two, [open_, failed])[0] == grade(two, [failed, open_])[0] == INCOMPLETE
    assert grade(two, [failed, failed])[0] == grade(two, [failed, failed, open_])[0] == WRONG


def test_request_that_did_not_occur_is_wrong_and_a_missing_one_incomplete() -> None:
    assert grade((), [item("SUCCEEDED")])[0] == WRONG
    assert grade((STOPPED,), [])[0] == INCOMPLETE
