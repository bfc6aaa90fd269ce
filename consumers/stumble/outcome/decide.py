"""Decides the outcome of a request from its own facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stumble.outcome import signals
from stumble.outcome.attempts import StepRun, runs_of
from stumble.outcome.completion import Completion, completion_of
from stumble.outcome.deciding_rule import DecidingRule
from stumble.outcome.duplicate_reports import with_known_causes
from stumble.outcome.facts import Fact, sets_error
from stumble.outcome.failures import (
    FailureCluster,
    FailureSet,
    ends_request,
    find_failures,
    is_possible_race,
    only_deleted,
)
from stumble.outcome.grouping import RequestGroup
from stumble.outcome.records import CANCELLED, FAILED, IN_PROGRESS, INTERRUPTED, RECOVERED, SUCCEEDED

_NOTHING = FailureSet([], None)
_OPEN = (DecidingRule.NO_SIGNAL, IN_PROGRESS, None)


class RequestCase:
    """One request while its outcome is decided.

    ``decided_by`` is the rule that decided it, ``decided_at`` the time of the deciding signal.
    """

    __slots__ = (
        "cancelled",
        "decided_at",
        "decided_by",
        "failing",
        "findings",
        "group",
        "linked",
        "outcome",
        "runs",
        "successes",
    )

    def __init__(self, group: RequestGroup) -> None:
        self.group = group
        self.runs: list[StepRun] = runs_of(group.facts)
        self.successes: list[Fact] = []
        self.failing: list[Fact] = []
        self.cancelled: Fact | None = None
        self.linked: RequestGroup | None = None
        _read(self)
        self.failing = with_known_causes(self.failing)
        self.findings = find_failures(self.failing, group.rule) if self.failing else _NOTHING
        self.decided_by, self.outcome, self.decided_at = _outcome(self)
        if self.outcome == CANCELLED and self.decided_at is not None:
            self.cancel(self.decided_by, None, self.decided_at)
        if self.outcome == IN_PROGRESS and group.given_up is not None and _nothing_since(group, group.given_up):
            self._give_up(group.given_up)

    def _give_up(self, fact: Fact) -> None:
        """Mark the request as failed by an interruption of its service: no exception was raised, no step ended."""
        self.fail(DecidingRule.GIVEN_UP_AFTER_RESTART, fact.at)
        one = FailureCluster(fact.origin.host, INTERRUPTED, None)
        one.sightings = [fact]
        self.findings = FailureSet([*self.findings.clusters, one], self.findings.verdict, self.findings.verdict_reason)

    def fail(self, rule: DecidingRule, at: int) -> None:
        """Mark the request as failed."""
        self.decided_by, self.outcome, self.decided_at = rule, FAILED, at

    def cancel(self, rule: DecidingRule, by: RequestGroup | None, at: int) -> None:
        """Mark the request as cancelled by another one; errors that the cancellation caused are not failures."""
        self.decided_by, self.outcome, self.decided_at, self.linked = rule, CANCELLED, at, by
        self.findings = FailureSet(self._certain_failures(), None)

    def reopen(self, rule: DecidingRule) -> None:
        """Mark the request as undecided: a cancellation may explain its failures, which are not claimed either."""
        self.decided_by, self.outcome, self.decided_at = rule, IN_PROGRESS, None
        self.findings = FailureSet(self._certain_failures(), None)

    def _certain_failures(self) -> list[FailureCluster]:
        return [one for one in self.findings.clusters if not is_possible_race(one, self.group.rule)]


def _nothing_since(group: RequestGroup, ended: Fact) -> bool:
    """Return whether no work followed the end of the task, by the clock of its host."""
    return not any(
        fact.at > ended.at and fact.origin.host == ended.origin.host and fact.signal != signals.UPDATE
        for fact in group.facts
    )


def _read(case: RequestCase) -> None:
    """Sort a request's facts into success markers, failures and a cancellation."""
    rule = case.group.rule
    held = rule.held_by is not None and any(r.step == rule.held_by and r.result is None for r in case.runs)
    undone: list[Fact] = []
    for fact in case.group.facts:
        if fact.extra is not None and fact.extra.outcome == CANCELLED:
            if fact.signal in signals.DECLARING:
                case.cancelled = fact
        elif _fails(case.group, fact):
            case.failing.append(fact)
        elif fact.signal == "migration":
            _read_migration(case, fact)
        elif (fact.phase == "END" or fact.signal in signals.PHASELESS) and not (held and fact.signal in rule.ends):
            completion = completion_of(rule, fact, case.group.facts)
            if completion is Completion.DONE:
                case.successes.append(fact)
            elif completion is Completion.UNDONE:
                undone.append(fact)
    if undone and not case.successes:
        case.failing = sorted([*case.failing, *undone])


def _fails(group: RequestGroup, fact: Fact) -> bool:
    """Return whether a fact shows a failure of its request: of any kind, or an ERROR that a periodic task set."""
    rule = group.rule
    return (
        fact.phase == "ERROR"
        or fact.failure is not None
        or (fact.signal, fact.phase) in rule.silent_failures
        or (rule.timed_out_class is not None and fact.origin.request_id != group.request_id and sets_error(fact))
    )


def _read_migration(case: RequestCase, fact: Fact) -> None:
    status = fact.extra.migration_status if fact.extra is not None else None
    if status in signals.MIGRATION_FAILED or (
        status in signals.MIGRATION_CANCELLED and case.group.rule.aborted_by is not None
    ):
        case.failing.append(fact)
    elif status in signals.MIGRATION_ENDS.get(case.group.action or "", ()):
        case.successes.append(fact)


_Decided = tuple[DecidingRule, str, int | None]


def _outcome(case: RequestCase) -> _Decided:
    """Return the rule that decides by the request's own facts alone, the outcome, and the time of its signal."""
    if not case.failing and case.cancelled is None:
        return (DecidingRule.SUCCEEDED, SUCCEEDED, case.successes[0].at) if case.successes else _OPEN
    final = [f for f in case.failing if ends_request(case.group.rule, f) and not _only_deleted(f)]
    if case.successes:
        return _with_marker(case, final)
    if case.cancelled is not None:
        return DecidingRule.STATED_CANCELLED, CANCELLED, case.cancelled.at
    return _failed(DecidingRule.FAILED, final)


def _failed(rule: DecidingRule, final: Iterable[Fact]) -> _Decided:
    decided = min((fact.at for fact in final), default=None)
    return _OPEN if decided is None else (rule, FAILED, decided)


def _with_marker(case: RequestCase, final: Sequence[Fact]) -> _Decided:
    """Return the decision on a request that has a success marker beside failures or a cancellation."""
    rule = case.group.rule
    if rule.swallows and case.failing:
        return _failed(DecidingRule.SWALLOWED_FAILURE, final)
    swallowed = [fact for fact in final if fact.step in rule.swallowed_steps]
    if swallowed:
        return _failed(DecidingRule.SWALLOWED_FAILURE, swallowed)
    undone = _after_success(case.successes, final)
    if undone is not None:
        return DecidingRule.FAILED_AFTER_SUCCESS, FAILED, undone.at
    at = case.successes[0].at
    if not case.findings.clusters:
        return DecidingRule.SUCCEEDED, SUCCEEDED, at
    return DecidingRule.RECOVERED, RECOVERED, at


def _only_deleted(fact: Fact) -> bool:
    """Return whether only a running delete can cause the failure: it decides nothing until that delete is known."""
    return fact.failure is not None and only_deleted(fact.failure)


def _after_success(successes: Sequence[Fact], final: Iterable[Fact]) -> Fact | None:
    """Return a final failure after the last success marker, by one host's clock: two clocks give no order."""
    for fact in final:
        if all(
            fact.at > one.at and (fact.origin.host == one.origin.host or fact.origin.host is None) for one in successes
        ):
            return fact
    return None
