"""The runs of a request's steps, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stumble.outcome.facts import Fact
from stumble.outcome.records import StepRecord

_RESULTS = {"END": "Success", "ERROR": "Error"}


class StepRun:
    """One run of a step while its facts are collected."""

    __slots__ = ("finished_at", "host", "result", "started_at", "step", "step_id")

    def __init__(self, step: str, fact: Fact) -> None:
        self.step = step
        self.host = fact.origin.host
        self.step_id = fact.extra.step_id if fact.extra is not None else None
        self.started_at: int | None = None
        self.finished_at: int | None = None
        self.result: str | None = None


def runs_of(facts: Iterable[Fact]) -> list[StepRun]:
    """Return the runs of all steps in the order of their first fact. ``facts`` are sorted.

    The tap and the library report each run; notifications are used for steps that neither of them reports.
    """
    runs: list[StepRun] = []
    step_facts: list[Fact] = []
    exact: set[str] = set()
    for fact in facts:
        step = fact.step
        if step is None:
            continue
        if fact.signal in {"event_start", "event_finish", "step"}:
            exact.add(step)
            _extend(runs, step, fact)
        elif fact.phase != "PROGRESS":
            step_facts.append(fact)
    for fact in step_facts:
        if fact.step is not None and fact.step not in exact and not _repeats(runs, fact):
            _extend(runs, fact.step, fact)
    return runs


def _repeats(runs: Iterable[StepRun], fact: Fact) -> bool:
    """Return whether a notification only repeats, in its other format, what the last run of its step shows."""
    same = [run for run in runs if run.step == fact.step and run.host == fact.origin.host]
    if not same:
        return False
    return (same[-1].result is None) == (fact.phase not in _RESULTS)


def _extend(runs: list[StepRun], step: str, fact: Fact) -> None:
    """Start a run with a fact, or finish the earliest open run of its step on its host."""
    host = fact.origin.host
    wanted = fact.extra.step_id if fact.extra is not None else None
    result = _RESULTS.get(fact.phase)
    if result is None:
        run = StepRun(step, fact)
        run.started_at = fact.at
        runs.append(run)
        return
    for run in runs:
        if run.result is None and run.step == step and run.host == host and run.step_id == wanted:
            break
    else:
        run = StepRun(step, fact)
        runs.append(run)
    run.finished_at, run.result = fact.at, result


def numbered_attempts(runs: Sequence[StepRun]) -> tuple[StepRecord, ...]:
    """Return the runs as records; the runs of one step are its attempts, numbered from 1."""
    counts: dict[str, int] = {}
    records = []
    for run in runs:
        number = counts[run.step] = counts.get(run.step, 0) + 1
        records.append(StepRecord(run.step, run.host, number, run.started_at, run.finished_at, run.result))
    return tuple(records)


def attempt_of(steps: Sequence[StepRecord], step: str | None, host: str | None, at: int) -> int | None:
    """Return the number of the attempt in which a failure of a step on a host happened, None if none is known."""
    fitting = [run for run in steps if run.step == step and run.host == host]
    if not fitting:
        return None
    failed = [run for run in fitting if run.result == "Error"] or fitting
    started = [run for run in failed if (run.started_at or run.finished_at or 0) <= at]
    return (started[-1] if started else failed[0]).attempt
