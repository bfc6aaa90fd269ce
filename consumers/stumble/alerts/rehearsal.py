"""Computes which alerts rules would have fired for stored failures and outcomes, without side effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from stumble.alerts.rules import AlertRule, RuleBook, RuleTrigger
from stumble.alerts.state import problem_of


@dataclass(slots=True)
class Rehearsed:
    """One alert that would have fired; `ends_at` None: it would still fire; `action` None: it is about several."""

    rule: str
    severity: str
    problem: str
    action: str | None
    exception: str | None
    starts_at: datetime
    last_at: datetime
    ends_at: datetime | None = None
    failures: int = 0
    instances: set[str] = field(default_factory=set)
    projects: set[str] = field(default_factory=set)

    def add(self, failure: dict[str, Any]) -> None:
        """Add one failure."""
        self.failures += 1
        if failure["action"] != self.action:
            self.action = None
        self.last_at = failure["occurred_at"]
        self.instances.add(str(failure["instance_uuid"]))
        self.projects.add(str(failure["owner_project_id"]))


def rehearse_alerts(
    book: RuleBook,
    failures: Iterable[dict[str, Any]],
    known: Iterable[str],
    until: datetime,
    *,
    outcomes: Iterable[dict[str, Any]] = (),
    resolved: Mapping[str, datetime] = MappingProxyType({}),
) -> list[Rehearsed]:
    """Return the alerts that failures (in the order of their time) would have fired, in the order of their start.

    `known`: fingerprints seen before the first failure, which are not new problems. `outcomes`: requests' outcomes as
    in `ActionOutcome`, with the time of the decision as `occurred_at`. `resolved`: resolved problems and when they were
    resolved; a later failure makes them regressed. Mutes are ignored: they do not depend on the rules.
    """
    enabled = [rule for rule in book.rule if rule.enabled]
    replays = [_RuleReplay(rule, set(known), resolved) for rule in enabled if not rule.outcomes]
    for failure in failures:
        for replay in replays:
            replay.add_event(failure)
    of_outcomes = [_RuleReplay(rule, set(), resolved) for rule in enabled if rule.outcomes]
    for request in outcomes if of_outcomes else ():
        for replay in of_outcomes:
            replay.add_event({**request, "fingerprint": problem_of(request), "exception": None})
    replays += of_outcomes
    result = [alert for replay in replays for alert in replay.finish(until)]
    return sorted(result, key=lambda alert: alert.starts_at)


class _RuleReplay:
    def __init__(self, rule: AlertRule, known: set[str], resolved: Mapping[str, datetime]) -> None:
        self._rule = rule
        self._known = known
        self._resolved = dict(resolved)
        self._firing: dict[str, Rehearsed] = {}
        self._resolved_alerts: list[Rehearsed] = []
        self._recent: dict[str, deque[dict[str, Any]]] = {}

    def add_event(self, failure: dict[str, Any]) -> None:
        problem, at = failure["fingerprint"], failure["occurred_at"]
        self._resolve_quiet(at)
        is_new = problem not in self._known or self._has_regressed(problem, at)
        self._known.add(problem)
        if not (self._rule.matches_outcome if self._rule.outcomes else self._rule.match.fits)(failure):
            return
        recent = self._recent.setdefault(problem, deque())
        recent.append(failure)
        while recent[0]["occurred_at"] <= at - self._rule.window:
            recent.popleft()
        if problem not in self._firing:
            if not self._starts(recent, is_new=is_new):
                return
            alert = Rehearsed(
                self._rule.name, self._rule.severity, problem, failure["action"], failure["exception"], at, at
            )
            self._firing[problem] = alert
            for earlier in list(recent)[:-1] if self._rule.on is RuleTrigger.SPREAD else ():
                alert.add(earlier)  # a spread counts all failures in its window
        self._firing[problem].add(failure)

    def finish(self, until: datetime) -> list[Rehearsed]:
        self._resolve_quiet(until)
        return [*self._resolved_alerts, *self._firing.values()]

    def _starts(self, recent: deque[dict[str, Any]], *, is_new: bool) -> bool:
        rule = self._rule
        if rule.on is RuleTrigger.SPREAD:
            return (
                len(recent) >= rule.failures
                and len({item["instance_uuid"] for item in recent}) >= rule.instances
                and len({item["owner_project_id"] for item in recent}) >= rule.projects
            )
        return is_new or rule.on is not RuleTrigger.PROBLEM

    def _has_regressed(self, problem: str, at: datetime) -> bool:
        resolved_at = self._resolved.get(problem)
        if resolved_at is None or at <= resolved_at:
            return False
        del self._resolved[problem]  # only the first failure after it makes the problem regressed
        return True

    def _resolve_quiet(self, at: datetime) -> None:
        for problem, alert in list(self._firing.items()):
            if alert.last_at + self._rule.quiet < at:
                alert.ends_at = alert.last_at + self._rule.quiet
                self._resolved_alerts.append(self._firing.pop(problem))
