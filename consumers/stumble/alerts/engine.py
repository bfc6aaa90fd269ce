"""Applies alert rules to publications: stores problems and alerts in the transaction that moves the cursor.

An alert is a state of one rule and one problem: ten thousand failures of one cause are one alert with a higher count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from stumble.alerts.rules import AlertRule, RuleBook, RuleTrigger
from stumble.alerts.state import AlertState, problem_of
from stumble.store.json_rows import as_json
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.alerts.publications import StoredPublication

#: Fields of its last record that an alert stores, for labels and text.
_PAYLOAD_FIELDS = (
    "action", "exception", "blame", "reason", "host", "instance_uuid", "request_id", "owner_project_id",
    "availability_zone", "effect", "evidence",
)  # fmt: skip


class ProblemState(NamedTuple):
    """The state of a problem after a batch.

    `is_new_or_regressed`: of the failures that no correction moved to the problem, the batch has the first one, or the
    first one since the problem was resolved.
    """

    is_new_or_regressed: bool
    is_muted: bool


class ProblemSpread(NamedTuple):
    """The failures of a spreading problem in its rule's window, and when the first of them happened."""

    failures: int
    first_occurred_us: int


class RuleHit(NamedTuple):
    """One rule that matches one problem, the failures of this batch, and the problem's spread for a rule on it."""

    rule: AlertRule
    problem: str
    rows: list[StoredPublication]
    spread: ProblemSpread | None = None


class RuleEngine:
    """Applies one rule book; `rules` may be replaced between two batches."""

    def __init__(self, rules: RuleBook) -> None:
        self.rules = rules

    def apply_rules(self, connection: Connection[Any], rows: Sequence[StoredPublication]) -> list[AlertState]:
        """Apply the rules to publications, in the caller's transaction; return the alerts that start to fire."""
        failures = [row for row in rows if row.kind == "failure" and row.status == "CURRENT"]
        known = [row for row in failures if row.payload.get("fingerprint")]
        # A correction may move a failure to another problem: that one is stored, too, but fires no alert by it.
        problems = _save_problems(connection, _grouped(known))
        groups = _grouped(row for row in known if not row.correction)
        rules = [rule for rule in self.rules.rule if rule.enabled]
        changed = _changed_outcomes(connection, [rule for rule in rules if rule.outcomes], rows)
        firing = _load_firing(connection, groups)
        hits: list[RuleHit] = []
        for rule in rules:
            hits += (
                _hits_of_outcomes(rule, changed)
                if rule.outcomes
                else self._hits_of_failures(connection, rule, groups, problems, firing)
            )
        return _fire(connection, hits)

    def resolve_quiet(self, connection: Connection[Any]) -> list[AlertState]:
        """Resolve alerts that were quiet long enough or whose problem was muted or resolved; return them."""
        return [AlertState(*row) for row in connection.execute(query("resolve_quiet_alerts"))]

    def _hits_of_failures(
        self,
        connection: Connection[Any],
        rule: AlertRule,
        groups: dict[str, list[StoredPublication]],
        problems: dict[str, ProblemState],
        firing: set[tuple[str, str]],
    ) -> list[RuleHit]:
        fitting = {
            problem: matched
            for problem, rows in groups.items()
            if not problems[problem].is_muted and (matched := [row for row in rows if rule.match.fits(row.payload)])
        }
        if not fitting:
            return []
        starting = _starting(connection, rule, fitting, problems)
        # A firing alert continues while failures match, even without a new trigger.
        return [
            RuleHit(rule, problem, rows, None if (rule.name, problem) in firing else starting[problem])
            for problem, rows in fitting.items()
            if (rule.name, problem) in firing or problem in starting
        ]


def _grouped(rows: Iterable[StoredPublication]) -> dict[str, list[StoredPublication]]:
    groups: dict[str, list[StoredPublication]] = defaultdict(list)
    for row in rows:
        groups[row.payload["fingerprint"]].append(row)
    return groups


def _save_problems(connection: Connection[Any], groups: dict[str, list[StoredPublication]]) -> dict[str, ProblemState]:
    if not groups:
        return {}
    rows = [
        {
            "fingerprint": problem,
            **{name: item[-1].payload.get(name) for name in ("exception", "blame", "reason")},
            "first_us": min(row.payload["occurred_at"] for row in item),
            "last_us": max(row.payload["occurred_at"] for row in item),
            "new_last_us": max((row.payload["occurred_at"] for row in item if not row.correction), default=None),
        }
        for problem, item in groups.items()
    ]
    answers = connection.execute(query("save_problems"), {"rows": as_json(rows)})
    return {answer[0]: ProblemState(*answer[1:]) for answer in answers}


def _load_firing(connection: Connection[Any], problems: Iterable[str]) -> set[tuple[str, str]]:
    """Return rule and problem of the alerts that fire for these problems."""
    known = list(problems)
    return set(connection.execute(query("load_firing_alerts"), {"problems": known}).fetchall()) if known else set()


def _starting(
    connection: Connection[Any],
    rule: AlertRule,
    fitting: dict[str, list[StoredPublication]],
    problems: dict[str, ProblemState],
) -> dict[str, ProblemSpread | None]:
    if rule.on is RuleTrigger.FAILURE:
        return dict.fromkeys(fitting)
    if rule.on is RuleTrigger.PROBLEM:
        return {problem: None for problem in fitting if problems[problem].is_new_or_regressed}
    rows = connection.execute(
        query("count_problem_spread"),
        {"fingerprints": list(fitting), "window": rule.window.total_seconds(), **rule.match.likes()},
    )
    return {
        problem: ProblemSpread(failures, first_us)
        for problem, failures, instances, projects, first_us in rows
        if failures >= rule.failures and instances >= rule.instances and projects >= rule.projects
    }


def _changed_outcomes(
    connection: Connection[Any], rules: Sequence[AlertRule], rows: Sequence[StoredPublication]
) -> list[StoredPublication]:
    """Return the outcomes that a rule matches, without corrections that do not change the outcome."""
    result = [
        row
        for row in rows
        if row.kind == "outcome"
        and row.status == "CURRENT"
        and any(rule.matches_outcome(row.payload) for rule in rules)
    ]
    if not result:
        return []
    changed = {
        row[0] for row in connection.execute(query("load_changed_outcomes"), {"ids": [row.id for row in result]})
    }
    return [row for row in result if row.id in changed]


def _hits_of_outcomes(rule: AlertRule, rows: Iterable[StoredPublication]) -> list[RuleHit]:
    problems: dict[str, list[StoredPublication]] = defaultdict(list)
    for row in rows:
        if rule.matches_outcome(row.payload):
            problems[problem_of(row.payload)].append(row)
    return [RuleHit(rule, problem, item) for problem, item in problems.items()]


def _fire(connection: Connection[Any], hits: Sequence[RuleHit]) -> list[AlertState]:
    rows = [
        {
            "rule": rule.name,
            "problem": problem,
            "severity": rule.severity,
            "description": rule.text,
            "labels": rule.labels,
            "last_payload": {name: item[-1].payload.get(name) for name in _PAYLOAD_FIELDS},
            "first_occurred_us": spread.first_occurred_us if spread else min(_time(row) for row in item),
            "quiet_seconds": int(rule.quiet.total_seconds()),
            "failures": spread.failures if spread else len(item),
        }
        for rule, problem, item, spread in hits
    ]
    if not rows:
        return []
    return [AlertState(*row) for row in connection.execute(query("fire_alerts"), {"rows": as_json(rows)})]


def _time(row: StoredPublication) -> int:
    return int(row.payload.get("occurred_at") or row.payload.get("started_at") or row.created_us)
