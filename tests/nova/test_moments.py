"""The outcome at the moment it is decided: what is called final stays.

It does so in every prefix of what Nova told, and in all that the store showed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.nova import moments, offline
from tests.nova.conftest import EXPECTED, ROOT

PAGE = ROOT / "docs" / "moments.md"
pytestmark = pytest.mark.xdist_group("nova with the one line")


class Run(NamedTuple):
    """What is known of the run with the one line in nova.conf."""

    results: dict[str, Any]
    courses: dict[str | None, list[moments.Course]]
    readable: dict[str, tuple[tuple[str | None, ...], int]]
    """Request key → (outcomes that the store showed, one after another; when the last one first was there)."""

    def of(self, name: str) -> list[moments.Course]:
        """Return the courses of a scenario's requests."""
        result = self.results[name]
        return moments.of_scenario(self.courses.get(result["request_id"], []), result)


_runs: list[Run] = []


@pytest.fixture
def run(told: Callable[..., Any], shared_folder: Path) -> Run:
    if not _runs:
        found = told("default")
        evidence = shared_folder / "default" / "evidence"
        by_request: dict[str | None, list[moments.Course]] = {}
        for course in moments.courses(offline.events_of(evidence / "outbox")):
            by_request.setdefault(course.request_id, []).append(course)
        seen = json.loads((evidence / "seen.json").read_text())
        _runs.append(Run({name: one["result"] for name, one in found.items()}, by_request, moments.readable_at(seen)))
    return _runs[0]


def never_wrong(course: moments.Course, same_id: list[moments.Course]) -> bool:
    """Tell whether a request was open until it had the outcome that stays.

    What has no action's name yet may fail and then stand under its name: the same outcome, known a moment earlier.
    """
    if course.outcome is None and course.action is None:
        return set(course.final) <= {None, *(one.outcome for one in same_id if one.outcome is not None)}
    return course.final in ((course.outcome,), ())


@pytest.mark.parametrize("name", list(EXPECTED))
def test_no_outcome_was_ever_wrongly_final(name: str, run: Run) -> None:
    found = run.of(name)
    right = Counter((one.action, one.outcome) for one in EXPECTED[name])
    assert Counter((one.action, one.outcome) for one in found if one.outcome is not None) == right
    for course in found:
        if name in moments.WENT_ON and moments.WENT_ON[name][0] == course.action:
            assert course.final == moments.WENT_ON[name][1]
        else:
            assert never_wrong(course, found)


def test_the_page_has_every_request_of_the_table() -> None:
    rows = (line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if " | `" in line)
    told = Counter((row[0], *row[1].replace("`", "").split()) for row in rows)
    wanted = Counter((name, one.action, one.outcome) for name, found in EXPECTED.items() for one in found)
    assert told == wanted, "run python scripts/nova_moments.py, and commit what it writes"


@pytest.mark.parametrize("name", list(EXPECTED))
def test_the_store_never_showed_one_and_had_it_soon_after_the_deciding_signal(name: str, run: Run) -> None:
    for course in run.of(name):
        if course.outcome in (None, *moments.OPEN):
            continue
        shown, at = run.readable[course.request_key]
        final = tuple(outcome for outcome in shown if outcome not in moments.OPEN)
        assert final == course.final
        waited = (at - course.decided_by["emitted_at"]) / 1e6
        assert 0 <= waited < 60  # how long it takes is measured, not tested: docs/moments.md


def test_every_other_request_of_the_run_too(run: Run) -> None:
    """What prepares scenarios are real requests as well."""
    allowed = {one[0] for one in moments.WENT_ON.values()}
    wrong = [
        (course.action, course.final)
        for found in run.courses.values()
        for course in found
        if not never_wrong(course, found) and course.action not in allowed
    ]
    assert wrong == []
    assert len(run.courses) > len(EXPECTED)


def test_a_wrongly_final_outcome_would_be_noticed(run: Run) -> None:
    """A stop whose end comes before its failure: an order that Nova never emits in."""
    course = next(one for one in run.courses[run.results["stop fails"]["request_id"]] if one.action == "stop")
    last = course.decided_by
    early = {**last, "event_id": last["event_id"][:-4] + "0000", "failure": None, "phase": "END"}
    early["occurred_at"] -= 1_000_000
    early |= {"step": "compute_stop_instance", "source": {**last["source"], "kind": "TAP", "signal": "event_finish"}}
    [wrong] = [one for one in moments.courses([early, last]) if one.action == "stop"]
    assert wrong.final == ("SUCCEEDED", "FAILED")
    assert not never_wrong(wrong, [wrong])
