"""Decides the outcome of a request from its facts and from other requests of its instance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stumble.outcome import rules, signals
from stumble.outcome.attempts import StepRun, runs_of
from stumble.outcome.deciding_rule import DecidingRule
from stumble.outcome.duplicate_reports import with_known_causes
from stumble.outcome.facts import Fact
from stumble.outcome.failures import (
    FailureCluster,
    FailureSet,
    ends_request,
    find_failures,
    is_collision,
    is_race,
    only_deleted,
)
from stumble.outcome.grouping import RequestGroup
from stumble.outcome.records import CANCELLED, FAILED, IN_PROGRESS, INTERRUPTED, RECOVERED, SUCCEEDED

#: By how much a race's time may precede that of its delete: clocks of hosts differ.
_SKEW_US = 5_000_000

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
        self.findings = find_failures(self.failing, group.rule, without_races=False) if self.failing else _NOTHING
        self.decided_by, self.outcome, self.decided_at = _outcome(self)
        if self.outcome == CANCELLED and self.decided_at is not None:
            self.cancel(self.decided_by, None, self.decided_at)
        if self.outcome == IN_PROGRESS and group.given_up is not None and _nothing_since(group, group.given_up):
            self._give_up(group.given_up)

    def _give_up(self, fact: Fact) -> None:
        """Mark the request as failed by an interruption of its service: no exception was raised, no step ended."""
        self.decided_by, self.outcome, self.decided_at = DecidingRule.GIVEN_UP_AFTER_RESTART, FAILED, fact.at
        one = FailureCluster(fact.origin.host, INTERRUPTED, None)
        one.sightings = [fact]
        self.findings = FailureSet([*self.findings.clusters, one], self.findings.verdict)

    def cancel(self, rule: DecidingRule, by: RequestGroup | None, at: int) -> None:
        """Mark the request as cancelled by another one; errors that the cancellation caused are not failures."""
        self.decided_by, self.outcome, self.decided_at, self.linked = rule, CANCELLED, at, by
        silent = self.group.rule.silent_failures
        known = [f for f in self.failing if (f.signal, f.phase) not in silent]
        self.findings = find_failures(known, self.group.rule, without_races=True)


def _nothing_since(group: RequestGroup, ended: Fact) -> bool:
    """Return whether no work followed the end of the task, by the clock of its host."""
    return not any(
        fact.at > ended.at and fact.origin.host == ended.origin.host and fact.signal != signals.UPDATE
        for fact in group.facts
    )


def _read(case: RequestCase) -> None:
    """Sort a request's facts into success markers, failures and a cancellation."""
    rule = case.group.rule
    silent = rule.silent_failures
    held = rule.held_by is not None and any(r.step == rule.held_by and r.result is None for r in case.runs)
    for fact in case.group.facts:
        phase = fact.phase
        if fact.extra is not None and fact.extra.outcome == CANCELLED:
            if fact.signal in signals.DECLARING:
                case.cancelled = fact
        elif phase == "ERROR" or fact.failure is not None or (silent and (fact.signal, phase) in silent):
            case.failing.append(fact)
        elif fact.signal == "migration":
            _read_migration(case, fact)
        elif (phase == "END" or fact.signal in signals.PHASELESS) and _succeeds(rule, fact, held=held):
            case.successes.append(fact)


def _succeeds(rule: rules.ActionRule, fact: Fact, *, held: bool) -> bool:
    """Return whether a fact that ends something is a success marker of its request."""
    signal = fact.signal
    if signal in rule.ends:
        return not held and not _half_done(rule, fact)
    if signal in signals.STEPPING and fact.step in rule.end_steps:
        return rule.undone is None or fact.state is None or fact.state[1] != rule.undone
    return signal in signals.DECLARING


def _half_done(rule: rules.ActionRule, fact: Fact) -> bool:
    return rule.half_done is not None and fact.state is not None and fact.state[1] == rule.half_done


def _read_migration(case: RequestCase, fact: Fact) -> None:
    status = fact.extra.migration_status if fact.extra is not None else None
    if status in signals.MIGRATION_CANCELLED:
        case.cancelled = fact
    elif status in signals.MIGRATION_FAILED:
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
    if case.group.rule.swallows and case.failing:
        return _failed(DecidingRule.SWALLOWED_FAILURE, final)
    undone = _after_success(case.successes, final)
    if undone is not None:
        return DecidingRule.FAILED_AFTER_SUCCESS, FAILED, undone.at
    at = case.successes[0].at
    if case.findings.clusters:
        return DecidingRule.RECOVERED, RECOVERED, at
    return DecidingRule.SUCCEEDED, SUCCEEDED, at


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


def apply_instance_events(cases: Sequence[RequestCase]) -> None:
    """Apply what happened to the whole instance, aborts and deletes, to its requests."""
    deletes = [case for case in cases if case.group.rule.ends_instance]
    for case in cases:
        rule = case.group.rule
        if rule.aborted_by is not None and case.outcome != SUCCEEDED and not case.successes:
            _settle_abort(case, cases)
        if deletes and case.outcome in {IN_PROGRESS, FAILED}:
            _settle_delete(case, deletes)


def _settle_abort(case: RequestCase, cases: Sequence[RequestCase]) -> None:
    """Cancel the request that an abort stopped: the last one that had begun."""
    if any(fact.signal == "migration" for fact in case.failing):
        return
    rule = case.group.rule
    rollback = [f for f in case.failing if (f.signal, f.phase) in rule.silent_failures]
    for other in cases:
        if other.group.family != rule.aborted_by or other.outcome == FAILED:
            continue
        if _aborted(cases, case.group.family, other.group.started_at) is not case:
            continue
        if case.cancelled is not None or (rollback and other.group.started_at <= rollback[-1].at + _SKEW_US):
            case.cancel(
                DecidingRule.ABORTED,
                other.group,
                rollback[0].at if rollback else case.decided_at or other.group.started_at,
            )
            return


def _aborted(cases: Iterable[RequestCase], family: str | None, at: int) -> RequestCase | None:
    """Return the last request of a family that had begun when it was aborted; the first, if by the clocks none had."""
    same = sorted((one for one in cases if one.group.family == family), key=lambda one: one.group.started_at)
    begun = [one for one in same if one.group.started_at <= at]
    return begun[-1] if begun else next(iter(same), None)


def _settle_delete(case: RequestCase, deletes: Iterable[RequestCase]) -> None:
    """Cancel a request that a delete stopped: its failures are races with it, or it was open at the deletion."""
    races = [f for f in case.failing if is_race(f) or is_collision(f)]
    if case.outcome == FAILED and len(races) < len(case.failing):
        return
    for other in deletes:
        if other is case or (other.outcome == CANCELLED and other.linked is case.group):
            continue
        caused = [f for f in races if _races_with(f, other)]
        if caused:
            case.cancel(DecidingRule.RACED_WITH_DELETE, other.group, caused[0].at)
            return
        deleted_at = _deleted_at(other)
        if deleted_at is not None and case.outcome == IN_PROGRESS and case.group.started_at <= deleted_at:
            case.cancel(DecidingRule.DELETED_WHILE_OPEN, other.group, deleted_at)
            return


def _races_with(race: Fact, delete: RequestCase) -> bool:
    """Return whether a race is with this delete: the delete had begun, and had not failed before."""
    if delete.outcome == FAILED and delete.decided_at is not None and delete.decided_at < race.at:
        return False
    if delete.successes and _deleted_at(delete) is None:
        return False
    if is_collision(race):
        return _begun(delete, race)
    return _only_deleted(race) or delete.group.started_at <= race.at + _SKEW_US


def _begun(delete: RequestCase, race: Fact) -> bool:
    """Return whether a delete had begun before a race, by the clock of the race's host if that host shows the delete.

    No difference between clocks is allowed: a failure shortly before an unrelated delete is a failure.
    """
    here = [fact.at for fact in delete.group.facts if fact.origin.host == race.origin.host]
    return min(here, default=delete.group.started_at) <= race.at


def _deleted_at(delete: RequestCase) -> int | None:
    """Return when a delete had removed its server, None if it has not; a soft delete can be undone."""
    if delete.outcome not in {SUCCEEDED, RECOVERED}:
        return None
    soft = {"instance.soft_delete", "compute_soft_delete_instance"}
    hard = [f.at for f in delete.successes if f.signal not in soft and f.step not in soft]
    return min(hard, default=None)
