"""Every scenario, on every release, by every way, from the recordings that `make nova-matrix` makes of real Nova."""

from __future__ import annotations

import pytest
from novaharness.vocabulary import Expected

from tests.nova import judge
from tests.nova.conftest import SCENARIOS  # sets the path that the table is imported from
from tests.nova.matrix import results, table
from tests.nova.matrix.grade import FALSE, LESS, RIGHT, grade
from tests.nova.matrix.recording import RELEASES, stale
from tests.nova.matrix.ways import TAPPED, WAYS, Way, events_by, items

ANEW = "run make nova-matrix, and commit what it writes"
FULL, BRIDGE = WAYS[2], WAYS[-1]


@pytest.mark.parametrize("release", RELEASES)
def test_the_recordings_are_of_the_table_as_it_stands(release: str) -> None:
    assert stale(results.recording_of(release)) == [], ANEW


def test_the_document_is_written_from_the_recordings() -> None:
    assert table.FILE.read_text(encoding="utf-8") == table.document(), ANEW


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.key)
@pytest.mark.parametrize("release", RELEASES)
def test_each_way_knows_what_the_table_says_and_nothing_false(release: str, way: Way) -> None:
    assert results.violations(release, way) == []


def test_what_a_way_cannot_know_names_scenarios_and_ways_there_are() -> None:
    names, keys = {scenario.name for scenario in SCENARIOS}, {way.key for way in WAYS if way not in TAPPED}
    assert set(results.BEYOND) <= names
    assert {key for found in results.BEYOND.values() for key in found} <= keys


@pytest.mark.parametrize("release", RELEASES)
def test_two_ways_at_once_tell_each_failure_once(release: str) -> None:
    wrong = {}
    for played in results.recording_of(release).played:
        both = [*events_by(FULL, played), *events_by(BRIDGE, played)]
        expected = results.EXPECTED[played.scenario]
        for events in (both, both[::-1]):
            if found := judge.differences(expected, items(events, played)):
                wrong[played.scenario] = found
    assert wrong == {}


@pytest.mark.parametrize("release", RELEASES)
def test_the_tap_is_whole_in_every_release(release: str) -> None:
    assert results.recording_of(release).tap == "on"


@pytest.mark.parametrize("release", RELEASES)
def test_recordings_hold_no_tracebacks_and_no_paths(release: str) -> None:
    for played in results.recording_of(release).played:
        for event in (*played.driver, *played.bridge):
            assert not (event["failure"] or {}).get("traceback")
            assert "site-packages" not in str(event)


STOPPED = Expected("stop", "FAILED", (("host1", "InstancePowerOffFailure"),), None, "NONE")


def item(outcome: str, *failures: tuple[str, str], effect: str = "UNKNOWN") -> dict[str, object]:
    """What stumble might say of a stop."""
    told = [{"host": host, "exception": exception} for host, exception in failures]
    return {"action": "stop", "outcome": outcome, "verdict": None, "effect": effect, "failures": told}


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (item("FAILED", STOPPED.failures[0], effect="NONE"), RIGHT),
        (item("FAILED", STOPPED.failures[0]), "effect"),
        (item("FAILED", STOPPED.failures[0], effect="ERROR"), FALSE),
        (item("STALLED"), LESS),
        (item("FAILED"), LESS),
        (item("SUCCEEDED"), FALSE),
        (item("FAILED", ("host2", "InstancePowerOffFailure")), FALSE),
        (item("FAILED", STOPPED.failures[0], STOPPED.failures[0]), FALSE),
    ],
)
def test_grades(told: dict[str, object], wanted: str) -> None:
    assert grade((STOPPED,), [told])[0] == wanted


def test_of_two_requests_each_is_held_to_its_own() -> None:
    """Two volumes extended by one call: that one failed makes no failure of the other."""
    two = (Expected("stop", "SUCCEEDED"), STOPPED)
    failed, open_ = item("FAILED", STOPPED.failures[0], effect="NONE"), item("STALLED")
    assert grade(two, [failed, item("SUCCEEDED", effect="NONE")])[0] == RIGHT
    assert grade(two, [failed])[0] == grade(two, [open_, failed])[0] == grade(two, [failed, open_])[0] == LESS
    assert grade(two, [failed, failed])[0] == grade(two, [failed, failed, open_])[0] == FALSE


def test_a_request_that_never_was_is_false() -> None:
    assert grade((), [item("SUCCEEDED")])[0] == FALSE
    assert grade((STOPPED,), [])[0] == LESS
