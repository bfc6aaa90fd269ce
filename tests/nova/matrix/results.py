"""The grades of all recordings, and where they differ from the table."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

from novaharness.scenarios import SCENARIOS
from novaharness.table.beyond import BEYOND

from tests.nova import judge
from tests.nova.matrix.grade import EFFECT, INCOMPLETE, RIGHT, grade
from tests.nova.matrix.recording import Played, Recording, read
from tests.nova.matrix.ways import TAPPED, WAYS, Way, items_by

EXPECTED = {scenario.name: scenario.expected for scenario in SCENARIOS}
_KNOWS = (RIGHT, EFFECT)


@lru_cache
def recording_of(release: str) -> Recording:
    """Return the recording of a release, read once."""
    return read(release)


@lru_cache
def items_of(release: str, way: Way) -> dict[str, list[dict[str, Any]]]:
    """Return stumble's records of every scenario by one way, derived once."""
    return {one.scenario: items_by(way, one) for one in recording_of(release).played}


@lru_cache
def grades(release: str, way: Way) -> dict[str, tuple[str, list[str]]]:
    """Return the grade of every scenario, and the differences from the complete expected records."""
    return {scenario: grade(EXPECTED[scenario], items) for scenario, items in items_of(release, way).items()}


def totals(release: str, way: Way) -> Counter[str]:
    """Count grades."""
    return Counter(one for one, _ in grades(release, way).values())


def violations(release: str, way: Way) -> list[str]:
    """Return the scenarios with a wrong grade: with the tap all must be right, without it nothing may be wrong.

    `BEYOND` lists exactly the scenarios that a way cannot know.
    """
    wrong = []
    must_be_right = way in TAPPED
    for scenario, (scenario_grade, why) in grades(release, way).items():
        beyond = way.key in BEYOND.get(scenario, ())
        allowed = scenario_grade == RIGHT or (
            not must_be_right and (scenario_grade == EFFECT or (scenario_grade == INCOMPLETE and beyond))
        )
        if not allowed:
            wrong.append(f"{scenario}: {'; '.join(why)}")
        elif scenario_grade in _KNOWS and beyond:
            wrong.append(f"{scenario}: this way knows it, remove it from BEYOND")
    return wrong


def all_violations(releases: tuple[str, ...]) -> list[str]:
    """Return the violations of all ways on these releases."""
    return [f"{release}, {way.key}: {one}" for release in releases for way in WAYS for one in violations(release, way)]


def nova_totals(release: str) -> tuple[int, int, int]:
    """Return in how many scenarios Nova shows correctly if it failed, how many failed, and how many have a reason."""
    played = recording_of(release).played
    failed = [one for one in played if any(each.outcome == "FAILED" for each in EXPECTED[one.scenario])]
    reasons = sum(1 for one in failed if one.nova_server and one.nova_server["fault"])
    return sum(judge.nova_record_agrees(one.nova, EXPECTED[one.scenario]) for one in played), len(failed), reasons


def by_name(release: str) -> dict[str, Played]:
    """Return the played scenarios by name."""
    return {one.scenario: one for one in recording_of(release).played}
