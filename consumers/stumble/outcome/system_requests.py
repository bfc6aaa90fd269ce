"""Facts of work that the system starts, under a request id that no user's request has.

A restarted service resumes a user's work in a context without user and project and with a new request id; Nova itself
then adds it to the instance's last action. A periodic task has the same form, but names another action, or the same one
after that has ended: this is a request of its own, started by the system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from stumble.outcome import signals
from stumble.outcome.decide import RequestCase
from stumble.outcome.facts import Fact, ends_task, is_unassigned
from stumble.outcome.failures import is_race
from stumble.outcome.grouping import RequestGroup, possible_families
from stumble.outcome.records import IN_PROGRESS


def attach_system_requests(
    sets: Iterable[Sequence[Fact]], split: Callable[[Sequence[Fact]], list[RequestGroup]]
) -> list[RequestGroup]:
    """Return the requests of all fact sets; facts that continue a request are added to it."""
    groups: list[RequestGroup] = []
    unassigned: list[Sequence[Fact]] = []
    for facts in sets:
        if is_unassigned(facts):
            unassigned.append(facts)
        else:
            groups += [group for group in split(facts) if _shows_request(group)]
    for facts in sorted(unassigned, key=lambda one: one[0].at):
        latest = _latest_before(groups, facts[0].at)
        closes = _only_closes_migration_record(facts)
        if latest is not None and _continues(latest, facts) and not (closes and _is_another_migration(latest, facts)):
            _attach(latest, facts)
        elif any(possible_families(fact) for fact in facts) and not closes:
            groups += [group for group in split(facts) if _shows_request(group)]
    return groups


def _attach(group: RequestGroup, facts: Sequence[Fact]) -> None:
    """Add facts to the request that they continue; note it if they give it up and no other facts resumed it before."""
    ended = _gives_up(group, facts)
    resumed = any(fact.origin.request_id != group.request_id for fact in group.facts)
    if ended is not None and not resumed:
        group.given_up = ended
    # The clean-up of a service is not a user's abort, and not a failure beside the interruption.
    group.extend([fact for fact in facts if not _cleans_up(group, fact)] if _aborts(group, facts) else facts)


def _gives_up(group: RequestGroup, facts: Iterable[Fact]) -> Fact | None:
    """Return the fact that shows that a service only cleaned up: it ended the server's task and did nothing else."""
    ended = None
    for fact in facts:
        if fact.signal == signals.UPDATE:
            ended = fact if ended is None and ends_task(fact) else ended
        elif not _cleans_up(group, fact):
            return None
    return ended


def _aborts(group: RequestGroup, facts: Iterable[Fact]) -> bool:
    """Return whether a service aborts work in progress, as a source host does after a restart."""
    return group.rule.aborted_by is not None and any(group.rule.aborted_by in possible_families(fact) for fact in facts)


def _cleans_up(group: RequestGroup, fact: Fact) -> bool:
    """Return whether a fact belongs to that abort, or closes the migration record."""
    if group.rule.aborted_by is None:
        return False
    return group.rule.aborted_by in possible_families(fact) or (fact.signal == "migration" and fact.failure is None)


def _shows_request(group: RequestGroup) -> bool:
    """Return whether facts show a request: a named action, or a failure."""
    return group.family is not None or any(f.failure is not None or f.phase == "ERROR" for f in group.facts)


def _only_closes_migration_record(facts: Iterable[Fact]) -> bool:
    """Return whether facts show nothing but the end of a migration record, and no exception that ended the migration.

    A source host closes it after a restart. Periodic tasks close it, too (nova/compute/manager.py): as `error` if the
    server is gone, or no longer waits to be confirmed (`_poll_unconfirmed_resizes`), and as `failed` when they remove
    what an unfinished migration left behind (`_cleanup_incomplete_migrations`).
    """
    return all(fact.signal == "migration" and (fact.failure is None or is_race(fact)) for fact in facts)


def _is_another_migration(group: RequestGroup, facts: Iterable[Fact]) -> bool:
    """Return whether facts are of a migration that is not the request's own."""
    own = {fact.extra.migration_id for fact in group.facts if fact.extra is not None} - {None}
    return bool(own) and all(fact.extra is not None and fact.extra.migration_id not in own for fact in facts)


def _latest_before(groups: Iterable[RequestGroup], at: int) -> RequestGroup | None:
    return max((one for one in groups if one.started_at <= at), key=lambda one: one.started_at, default=None)


def _continues(group: RequestGroup, facts: Sequence[Fact]) -> bool:
    """Return whether facts continue a request: it is open, and no fact names another action."""
    before = [fact for fact in group.facts if fact.at <= facts[0].at]
    if RequestCase(RequestGroup(group.family, before)).outcome != IN_PROGRESS:
        return False
    inside = group.rule.inside
    for fact in facts:
        names = () if _cleans_up(group, fact) else possible_families(fact)
        if names and group.family not in names and not inside.intersection(names):
            return False
    return True
