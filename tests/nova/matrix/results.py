"""The grades of all recordings, and where they are not as the table says."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from novaharness.scenarios import SCENARIOS
from novaharness.table.beyond import BEYOND

from tests.nova import judge
from tests.nova.matrix.grade import EFFECT, LESS, RIGHT, grade
from tests.nova.matrix.recording import Played, Recording, read
from tests.nova.matrix.ways import TAPPED, WAYS, Way, items_by

EXPECTED = {scenario.name: scenario.expected for scenario in SCENARIOS}
_KNOWS = (RIGHT, EFFECT)


@lru_cache
def recording_of(release: str) -> Recording:
    """Return the recording of a release, read once."""
    return read(release)


@lru_cache
def grades(release: str, way: Way) -> dict[str, tuple[str, list[str]]]:
    """Return the grade of every scenario, and what differs from the whole truth."""
    played = recording_of(release).played
    return {one.scenario: grade(EXPECTED[one.scenario], items_by(way, one)) for one in played}


def totals(release: str, way: Way) -> Counter[str]:
    """Count grades."""
    return Counter(found for found, _ in grades(release, way).values())


def violations(release: str, way: Way) -> list[str]:
    """Return where a way is not as it must be: with the tap all is right, without it nothing false.

    What a way can't know, the table says (`BEYOND`), and it says nothing else.
    """
    wrong = []
    must_know = way in TAPPED
    for scenario, (found, why) in grades(release, way).items():
        beyond = way.key in BEYOND.get(scenario, ())
        fine = found == RIGHT or (not must_know and (found == EFFECT or (found == LESS and beyond)))
        if not fine:
            wrong.append(f"{scenario}: {'; '.join(why)}")
        elif found in _KNOWS and beyond:
            wrong.append(f"{scenario}: it knows what the table says that it can't")
    return wrong


def all_violations(releases: tuple[str, ...]) -> list[str]:
    """Return the violations of all ways on these releases."""
    return [f"{release}, {way.key}: {one}" for release in releases for way in WAYS for one in violations(release, way)]


def nova_totals(release: str) -> tuple[int, int, int]:
    """Return for how many scenarios Nova tells failed from not failed, how many failed, and how many with a reason."""
    played = recording_of(release).played
    failed = [one for one in played if any(each.outcome == "FAILED" for each in EXPECTED[one.scenario])]
    reasons = sum(1 for one in failed if one.nova_server and one.nova_server["fault"])
    return sum(judge.nova_tells(one.nova, EXPECTED[one.scenario]) for one in played), len(failed), reasons


def by_name(release: str) -> dict[str, Played]:
    """Return what was played by scenario."""
    return {one.scenario: one for one in recording_of(release).played}
