"""Outcomes do not change after they are final, in every prefix of Nova's events and in all that the store showed."""

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
    """The data of the run with the one line in nova.conf."""

    results: dict[str, Any]
    histories: dict[str | None, list[moments.OutcomeHistory]]
    readable: dict[str, tuple[tuple[str | None, ...], int]]
    """Request key → (outcomes that the store showed, one after another; when the last one was first readable)."""

    def of(self, name: str) -> list[moments.OutcomeHistory]:
        """Return the outcome histories of a scenario's requests."""
        result = self.results[name]
        return moments.of_scenario(self.histories.get(result["request_id"], []), result)


_runs: list[Run] = []


@pytest.fixture
def run(scenario_results: Callable[..., Any], shared_folder: Path) -> Run:
    if not _runs:
        results = scenario_results("default")
        evidence = shared_folder / "default" / "evidence"
        by_request: dict[str | None, list[moments.OutcomeHistory]] = {}
        for history in moments.outcome_histories(offline.events_of(evidence / "outbox")):
            by_request.setdefault(history.request_id, []).append(history)
        seen = json.loads((evidence / "seen.json").read_text())
        _runs.append(Run({name: one["result"] for name, one in results.items()}, by_request, moments.readable_at(seen)))
    return _runs[0]


def final_outcome_stays(
    history: moments.OutcomeHistory, same_id: list[moments.OutcomeHistory], earlier: tuple[str, ...] = ()
) -> bool:
    """Whether a request was open until it had its last outcome, or before it the `earlier` ones that Nova shows.

    A request without an action's name may fail, and later get its name with the same outcome.
    """
    if history.outcome is None and history.action is None:
        return set(history.final) <= {None, *(one.outcome for one in same_id if one.outcome is not None)}
    return history.final in ((*earlier, history.outcome), ())


def earlier_outcomes(name: str, history: moments.OutcomeHistory) -> tuple[str, ...]:
    """The final outcomes that Nova's signals show before the last one of a scenario's request."""
    ends = ((one.action, one.outcome, one.earlier) for one in EXPECTED[name])
    return next((earlier for *end, earlier in ends if end == [history.action, history.outcome]), ())


@pytest.mark.parametrize("name", list(EXPECTED))
def test_no_final_outcome_changed_later(name: str, run: Run) -> None:
    histories = run.of(name)
    right = Counter((one.action, one.outcome) for one in EXPECTED[name])
    assert Counter((one.action, one.outcome) for one in histories if one.outcome is not None) == right
    for history in histories:
        assert final_outcome_stays(history, histories, earlier_outcomes(name, history))


def test_page_contains_every_request_of_the_table() -> None:
    rows = (line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if " | `" in line)
    shown = Counter((row[0], *row[1].replace("`", "").split()) for row in rows)
    expected = Counter((name, one.action, one.outcome) for name, ones in EXPECTED.items() for one in ones)
    assert shown == expected, "run python scripts/nova_moments.py, and commit what it writes"


@pytest.mark.parametrize("name", list(EXPECTED))
def test_store_shows_the_same_final_outcomes_within_60_s_of_the_deciding_signal(name: str, run: Run) -> None:
    for history in run.of(name):
        if history.outcome in (None, *moments.OPEN):
            continue
        shown, at = run.readable[history.request_key]
        final = tuple(outcome for outcome in shown if outcome not in moments.OPEN)
        if earlier_outcomes(name, history):  # the projector may read several ends in one batch
            assert final[-1:] == (history.outcome,)
        else:
            assert final == history.final
        waited = (at - history.decided_by["emitted_at"]) / 1e6
        assert 0 <= waited < 60  # the promise of the docs; docs/moments.md has the measured delays


def test_no_final_outcome_of_a_preparing_request_changed_later(run: Run) -> None:
    """The requests that prepare scenarios are real requests too."""
    of_the_table = {result["request_id"] for result in run.results.values() if result["request_id"]}
    changed = [
        (history.action, history.final)
        for request_id, histories in run.histories.items()
        for history in histories
        if request_id not in of_the_table and not final_outcome_stays(history, histories)
    ]
    assert changed == []
    assert len(run.histories) > len(EXPECTED)


def test_changed_final_outcome_is_detected(run: Run) -> None:
    """A stop with its end before its failure: Nova never sends this order."""
    history = next(one for one in run.histories[run.results["stop fails"]["request_id"]] if one.action == "stop")
    last = history.decided_by
    early = {**last, "event_id": last["event_id"][:-4] + "0000", "failure": None, "phase": "END"}
    early["occurred_at"] -= 1_000_000
    early |= {"step": "compute_stop_instance", "source": {**last["source"], "kind": "TAP", "signal": "event_finish"}}
    [changed] = [one for one in moments.outcome_histories([early, last]) if one.action == "stop"]
    assert changed.final == ("SUCCEEDED", "FAILED")
    assert not final_outcome_stays(changed, [changed])
