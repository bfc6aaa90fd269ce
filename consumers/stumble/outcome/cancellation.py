"""Decides which requests a delete of their server, or an abort, cut short: they are not failures.

A failure that came before the delete stays one, whatever follows. That the delete came first needs evidence: the
failing host had begun the delete by its own clock, a snapshot shows the running delete, or the states that Nova saved
show the order. The clocks of two hosts show none, and neither does the time of a delete that was replaced because it is
implausible: they only decide whether a request waits for evidence while the delete runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto

from stumble.outcome import signals
from stumble.outcome.decide import RequestCase
from stumble.outcome.deciding_rule import DecidingRule
from stumble.outcome.facts import Fact, has_own_time
from stumble.outcome.failures import FailureCluster, ends_request, is_possible_race, only_deleted
from stumble.outcome.records import CANCELLED, FAILED, IN_PROGRESS, RECOVERED, SUCCEEDED
from stumble.wire.taxonomy import RACES

_ERROR = "error"


class Order(Enum):
    """Which came first: a failure, or the delete or abort that may explain it."""

    FAILURE_FIRST = auto()
    CANCELLATION_FIRST = auto()
    UNKNOWN = auto()


def apply_instance_events(cases: Sequence[RequestCase]) -> None:
    """Apply what happened to the whole instance, aborts and deletes, to its requests."""
    deletes = [case for case in cases if case.group.rule.ends_instance]
    for case in cases:
        aborted_by = case.group.rule.aborted_by
        if aborted_by is not None and not case.successes:
            _settle_abort(case, cases, [other for other in cases if other.group.family == aborted_by])
        if deletes and case.outcome in {IN_PROGRESS, FAILED}:
            _settle_deletes(case, deletes, cases)


def _settle_abort(case: RequestCase, cases: Sequence[RequestCase], aborts: Sequence[RequestCase]) -> None:
    """Cancel the request that an abort stopped: the last one that had begun."""
    stops = [fact for fact in case.failing if _is_stop(case, fact)]
    if not stops or any(fact.signal == "migration" and fact not in stops for fact in case.failing):
        return
    for abort in aborts:
        if _aborted(cases, case.group.family, abort.group.started_at) is not case:
            continue
        order = _order_of_abort(abort, case, stops[0])
        if order is Order.CANCELLATION_FIRST:
            case.cancel(DecidingRule.ABORTED, abort.group, stops[0].at)
            return
        if order is Order.UNKNOWN and case.outcome == FAILED:
            case.reopen(DecidingRule.ORDER_UNPROVEN)


def _is_stop(case: RequestCase, fact: Fact) -> bool:
    """Return whether a fact shows that the work was stopped, by whatever: a rollback, or a cancelled migration."""
    return (fact.signal, fact.phase) in case.group.rule.silent_failures or _is_cancelled(fact)


def _is_cancelled(fact: Fact) -> bool:
    return fact.extra is not None and fact.extra.migration_status in signals.MIGRATION_CANCELLED


def _aborted(cases: Iterable[RequestCase], family: str | None, at: int) -> RequestCase | None:
    """Return the last request of a family that had begun when it was aborted; the first, if by the clocks none had."""
    same = sorted((one for one in cases if one.group.family == family), key=lambda one: one.group.started_at)
    begun = [one for one in same if one.group.started_at <= at]
    return begun[-1] if begun else next(iter(same), None)


def _order_of_abort(abort: RequestCase, case: RequestCase, stop: Fact) -> Order:
    """Return whether an abort came before the work was stopped, on the host that stopped it.

    Where the tap reports the migration record, its status tells whether the abort or something else ended the job.
    """
    if abort.outcome == FAILED:
        return Order.FAILURE_FIRST
    here = _facts_on(abort, stop.origin.host)
    if here and here[0].at > stop.at:  # the process that stopped the work reports both, so times of receipt count, too
        return Order.FAILURE_FIRST
    if not here:
        requested_before = abort.outcome == IN_PROGRESS and abort.group.started_at <= stop.at
        return Order.UNKNOWN if requested_before else Order.FAILURE_FIRST
    watched = any(fact.signal == "migration" for fact in case.group.facts)
    ended = any(_is_cancelled(fact) for fact in case.failing) if watched else abort.outcome == SUCCEEDED
    return Order.CANCELLATION_FIRST if ended else Order.UNKNOWN


def _settle_deletes(case: RequestCase, deletes: Iterable[RequestCase], cases: Sequence[RequestCase]) -> None:
    """Cancel a request that a delete stopped: only the delete explains its failures, or it was open at the deletion."""
    others = [one for one in deletes if one is not case and not (one.outcome == CANCELLED and one.linked is case.group)]
    suspects = [one for one in case.findings.clusters if is_possible_race(one, case.group.rule)]
    if suspects and not _has_another_end(case, suspects):
        for delete in others:
            orders = {_order(delete, case, one, cases) for one in suspects}
            if Order.CANCELLATION_FIRST in orders:
                case.cancel(DecidingRule.RACED_WITH_DELETE, delete.group, suspects[0].at)
                return
            if Order.UNKNOWN in orders and case.outcome == FAILED and _may_explain(delete, suspects):
                case.reopen(DecidingRule.ORDER_UNPROVEN)
                return
    if case.outcome != IN_PROGRESS:
        return
    for delete in others:
        snapshot = _found_in_error(delete, case, cases)
        if snapshot is not None:
            if case.findings.clusters:
                case.fail(DecidingRule.FOUND_IN_ERROR, snapshot.at)
            return
        deleted_at = _deleted_at(delete)
        if deleted_at is not None:  # no request is accepted afterwards
            case.cancel(DecidingRule.DELETED_WHILE_OPEN, delete.group, deleted_at)
            return


def _has_another_end(case: RequestCase, suspects: Sequence[FailureCluster]) -> bool:
    """Return whether a failure that no delete explains ended the request."""
    return any(
        one not in suspects and any(ends_request(case.group.rule, fact) for fact in one.sightings)
        for one in case.findings.clusters
    )


def _may_explain(delete: RequestCase, suspects: Iterable[FailureCluster]) -> bool:
    """Return whether a delete runs that, by the clocks, was requested before a failure."""
    return _runs(delete) and any(delete.group.started_at <= one.at for one in suspects)


def _runs(delete: RequestCase) -> bool:
    return delete.outcome == IN_PROGRESS and all(run.result is None for run in delete.runs)


def _order(delete: RequestCase, case: RequestCase, one: FailureCluster, cases: Sequence[RequestCase]) -> Order:
    """Return what the facts prove about a delete and a failure of another request."""
    if _had_failed(delete, one) or (delete.successes and _deleted_at(delete) is None):
        return Order.FAILURE_FIRST
    if any(fact.failure is not None and only_deleted(fact.failure) for fact in one.sightings):
        return Order.CANCELLATION_FIRST
    if one.exception in signals.COLLISIONS and _runs(delete):  # another notification may still name its cause
        return Order.UNKNOWN
    began_before = any(_precedes(fact, one) for fact in delete.group.facts)
    if began_before or _shows_delete(case, one) or _is_from_database(one, delete):
        return Order.CANCELLATION_FIRST
    if _found_in_error(delete, case, cases) is not None:
        return Order.FAILURE_FIRST
    return Order.CANCELLATION_FIRST if _saved_error_later(delete, case, one, cases) else Order.UNKNOWN


def _facts_on(case: RequestCase, host: str | None) -> list[Fact]:
    return [fact for fact in case.group.facts if fact.origin.host == host]


def _precedes(fact: Fact, one: FailureCluster) -> bool:
    """Return whether the clock of a failure's host shows that a fact of the same host came first, or at that time."""
    return fact.origin.host == one.host and fact.at <= one.at and has_own_time(fact) and has_own_time(one.first)


def _had_failed(delete: RequestCase, one: FailureCluster) -> bool:
    """Return whether a delete had failed before a failure, by the clock of its host."""
    return delete.outcome == FAILED and any(_precedes(fact, one) and fact.at < one.at for fact in delete.failing)


def _shows_delete(case: RequestCase, one: FailureCluster) -> bool:
    """Return whether a snapshot up to a failure, from the same host, shows that the server is being deleted."""
    return any(
        fact.state is not None
        and fact.state[1] in signals.DELETING_TASKS
        and (_precedes(fact, one) or (fact in one.sightings and fact.origin.host == one.host))
        for fact in case.group.facts
    )


def _is_from_database(one: FailureCluster, delete: RequestCase) -> bool:
    """Return whether a service that has no hypervisor missed the server after a delete: its row is deleted."""
    has_order = all(map(has_own_time, (*delete.group.facts, one.first)))
    return (has_order and delete.group.started_at <= one.at) and all(
        fact.origin.service in signals.CALLERS
        and fact.failure is not None
        and not fact.failure.remote
        and fact.failure.exception in RACES
        for fact in one.sightings
    )


def _found_in_error(delete: RequestCase, case: RequestCase, cases: Iterable[RequestCase]) -> Fact | None:
    """Return the fact of the next request that found the server in ERROR, where this request had found it otherwise.

    The next request is the first one after it, up to the delete, whose facts show how nova-api found the server.
    """
    if all(fact.state is None or fact.state[0] in {None, _ERROR} for fact in case.group.facts):
        return None
    between = [one for one in cases if one is not case and _begins_between(one, case, delete)]
    for following in (*sorted(between, key=lambda one: one.group.started_at), delete):
        snapshot = _snapshot_at_request(following)
        if snapshot is not None and snapshot.state is not None:
            return snapshot if snapshot.state[0] == _ERROR else None
    return None


def _saved_error_later(
    delete: RequestCase, case: RequestCase, one: FailureCluster, cases: Sequence[RequestCase]
) -> bool:
    """Return whether the request set the server to ERROR after a delete had found it in another state."""
    snapshot = _snapshot_at_request(delete)
    if snapshot is None or snapshot.state is None or snapshot.state[0] == _ERROR:
        return False
    if any(_begins_between(other, case, delete) for other in cases if other is not case):
        return False
    return any(
        fact.signal == signals.UPDATE and fact.state is not None and fact.state[0] == _ERROR and fact.at >= one.at
        for fact in _facts_on(case, one.host)
        if has_own_time(fact) and has_own_time(one.first)
    )


def _snapshot_at_request(case: RequestCase) -> Fact | None:
    """Return the fact that shows the vm_state in which nova-api found the server when it accepted a request."""
    return next(
        (fact for fact in case.group.facts if fact.phase == "START" and fact.state is not None and fact.state[0]), None
    )


def _begins_between(other: RequestCase, case: RequestCase, delete: RequestCase) -> bool:
    if other is delete:
        return False
    return case.group.started_at <= other.group.started_at <= delete.group.started_at


def _deleted_at(delete: RequestCase) -> int | None:
    """Return when a delete had removed its server, None if it has not; a soft delete can be undone."""
    if delete.outcome not in {SUCCEEDED, RECOVERED}:
        return None
    soft = {"instance.soft_delete", "compute_soft_delete_instance"}
    hard = [f.at for f in delete.successes if f.signal not in soft and f.step not in soft]
    return min(hard, default=None)
