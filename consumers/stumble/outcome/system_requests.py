"""Orphans: what the system does on its own, under a request id that no user's request ever had.

A service that restarts takes up a user's work in a context without user and project and with a new request id; Nova
itself then counts it to the instance's last action. A periodic task looks the same, but names another action, or the
same one again when it has ended: that is a request of its own, started by the system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from stumble.outcome import signals
from stumble.outcome.decide import RequestCase
from stumble.outcome.facts import Fact, ends_task, is_unassigned
from stumble.outcome.failures import is_race
from stumble.outcome.grouping import RequestGroup, named
from stumble.outcome.records import IN_PROGRESS


def attach_system_requests(
    sets: Iterable[Sequence[Fact]], split: Callable[[Sequence[Fact]], list[RequestGroup]]
) -> list[RequestGroup]:
    """Return the requests of all fact sets, with what continues one of them added to it."""
    groups: list[RequestGroup] = []
    unassigned: list[Sequence[Fact]] = []
    for facts in sets:
        if is_unassigned(facts):
            unassigned.append(facts)
        else:
            groups += [group for group in split(facts) if _shows_request(group)]
    for facts in sorted(unassigned, key=lambda one: one[0].at):
        home = _latest_before(groups, facts[0].at)
        if home is not None and _continues(home, facts):
            _take_in(home, facts)
        elif any(named(fact) for fact in facts) and not _books_only(facts):
            groups += [group for group in split(facts) if _shows_request(group)]
    return groups


def _take_in(home: RequestGroup, facts: Sequence[Fact]) -> None:
    """Add an orphan to the request that it continues, or gives up unless another one has taken it up before."""
    ended = _gives_up(home, facts)
    resumed = any(fact.origin.request_id != home.home for fact in home.facts)
    if ended is not None and not resumed:
        home.given_up = ended
    # How a service cleans up after itself is nobody's abort, and no failure beside the interruption.
    home.extend([fact for fact in facts if not _cleans_up(home, fact)] if _aborts(home, facts) else facts)


def _gives_up(home: RequestGroup, facts: Iterable[Fact]) -> Fact | None:
    """Return what shows that a service only cleaned up: it ended the server's task and did nothing else."""
    ended = None
    for fact in facts:
        if fact.signal == signals.UPDATE:
            ended = fact if ended is None and ends_task(fact) else ended
        elif not _cleans_up(home, fact):
            return None
    return ended


def _aborts(home: RequestGroup, facts: Iterable[Fact]) -> bool:
    """Tell whether a service aborts what it finds under way, as a source host does when it starts again."""
    return home.rule.aborted_by is not None and any(home.rule.aborted_by in named(fact) for fact in facts)


def _cleans_up(home: RequestGroup, fact: Fact) -> bool:
    """Tell whether a fact is of that abort, or closes the migration's record."""
    if home.rule.aborted_by is None:
        return False
    return home.rule.aborted_by in named(fact) or (fact.signal == "migration" and fact.failure is None)


def _shows_request(group: RequestGroup) -> bool:
    """Tell whether facts show a request at all: one action that is named, or a failure."""
    return group.family is not None or any(f.failure is not None or f.phase == "ERROR" for f in group.facts)


def _books_only(facts: Iterable[Fact]) -> bool:
    """Tell whether all that is shown is a migration's record being closed.

    A source host that starts again does so, and the periodic task that confirms resizes does (to `error`) where it
    finds that the server is gone: nova/compute/manager.py, `_poll_unconfirmed_resizes`.
    """
    return all(
        fact.signal == "migration" and (is_race(fact) or (fact.failure is None and fact.phase != "ERROR"))
        for fact in facts
    )


def _latest_before(groups: Iterable[RequestGroup], at: int) -> RequestGroup | None:
    return max((one for one in groups if one.started_at <= at), key=lambda one: one.started_at, default=None)


def _continues(home: RequestGroup, facts: Sequence[Fact]) -> bool:
    """Tell whether an orphan takes up a request: it is open, and nothing in the orphan names another action."""
    before = [fact for fact in home.facts if fact.at <= facts[0].at]
    if RequestCase(RequestGroup(home.family, before)).outcome != IN_PROGRESS:
        return False
    inside = home.rule.inside
    for fact in facts:
        names = () if _cleans_up(home, fact) else named(fact)
        if names and home.family not in names and not inside.intersection(names):
            return False
    return True
