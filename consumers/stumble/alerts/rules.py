"""Alert rules: which failures and outcomes fire an alert. A file is TOML and is checked completely before it is used.

Rates, windows over metrics, silences, routing and quiet hours belong to Prometheus and Alertmanager. A rule here covers
what those cannot know: one failure, a new or regressed problem, one that spreads, the outcome of a request.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stumble.alerts.toml_lines import TomlLines
from stumble.outcome.records import BLAMES, EFFECTS, OUTCOMES, STALLED, SUCCEEDED
from stumble.outcome.rules import RULES
from stumble.settings.types import Duration
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Mapping

SEVERITIES = ("info", "warning", "critical")
_LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
_OWN_LABELS = frozenset({"alertname", "rule", "problem", "severity", "action", "exception", "blame"})
_FIELDS = {"project": "owner_project_id"}
#: Fields that an outcome does not have.
_OF_FAILURES = ("exception", "blame", "host")
#: Outcomes that can fire an alert.
ALERT_OUTCOMES = tuple(outcome for outcome in OUTCOMES if outcome != SUCCEEDED)


class RuleTrigger(StrEnum):
    """What makes a rule fire."""

    FAILURE = "failure"
    PROBLEM = "problem"
    SPREAD = "spread"
    STALLED = "stalled"
    OUTCOME = "outcome"


class RulesError(StumbleError):
    """The rules are invalid; the message names each mistake with its line number, one per line."""

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        self.mistakes = mistakes
        between = " " if len(mistakes) == 1 else "\n  "
        super().__init__(f"{source} cannot be used:" + "".join(between + mistake for mistake in mistakes))


Patterns = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class RuleMatch(BaseModel):
    """Conditions on a failure or outcome: each given field must fit one of its patterns (wildcards: ``*``, ``?``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Patterns = ()
    exception: Patterns = ()
    blame: Patterns = ()
    project: Patterns = ()
    host: Patterns = ()
    availability_zone: Patterns = ()
    cell: Patterns = ()
    region: Patterns = ()
    outcome: Patterns = ()
    effect: Patterns = ()

    def fits(self, payload: Mapping[str, Any]) -> bool:
        """Return whether the fields of an ``ActionFailed`` or ``ActionOutcome`` match."""
        return all(
            any(matches_pattern(str(payload.get(_FIELDS.get(name, name)) or ""), pattern) for pattern in patterns)
            for name, patterns in self
            if patterns
        )

    def likes(self) -> dict[str, list[str] | None]:
        """Return fields that can differ within one problem, as patterns of SQL's ``like``; None where all fit."""
        return {
            name: [_like(pattern) for pattern in getattr(self, name)] or None
            for name in ("action", "project", "host", "availability_zone", "cell", "region", "blame", "effect")
        }


def matches_pattern(value: str, pattern: str) -> bool:
    """Return whether a value fits a pattern of a rule (``*`` and ``?`` are wildcards)."""
    return fnmatchcase(value, pattern.replace("[", "[[]"))


def _like(pattern: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", pattern).replace("*", "%").replace("?", "_")


class AlertRule(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    on: RuleTrigger
    match: RuleMatch = RuleMatch()
    window: Duration = timedelta(minutes=10)
    failures: int = Field(1, ge=1)
    instances: int = Field(1, ge=1)
    projects: int = Field(1, ge=1)
    quiet: Duration = timedelta(minutes=15)
    severity: str = Field("warning", pattern=f"^({'|'.join(SEVERITIES)})$")
    labels: dict[Annotated[str, Field(pattern=_LABEL)], str] = Field(default_factory=dict)
    text: str = Field("", max_length=500)
    enabled: bool = True

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Outcomes that the rule can match; empty if it matches failures."""
        return {RuleTrigger.OUTCOME: ALERT_OUTCOMES, RuleTrigger.STALLED: (STALLED,)}.get(self.on, ())

    def matches_outcome(self, payload: Mapping[str, Any]) -> bool:
        """Return whether this rule matches an ``ActionOutcome``."""
        return payload.get("outcome") in self.outcomes and self.match.fits(payload)


class RuleBook(BaseModel):
    """All rules, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: tuple[AlertRule, ...] = ()

    def match_of(self, name: str) -> RuleMatch:
        """Return which failures the rule `name` counts: all of a problem's if the rule no longer exists."""
        return next((rule.match for rule in self.rule if rule.name == name), RuleMatch())

    def warnings(self, *, alertmanager: bool) -> list[str]:
        """Return warnings about valid rules that are rarely intended."""
        result = [
            f"{rule.name}: Nova has no action {pattern}" + _suggestion(pattern, RULES)
            for rule in self.rule
            for pattern in rule.match.action
            if not any(matches_pattern(action, pattern) for action in RULES)
        ]
        if alertmanager:
            result += [
                f"{rule.name}: Alertmanager gets one alert per problem for any number of failures; "
                "to receive each failure, subscribe by webhook or read the topic"
                for rule in self.rule
                if rule.on is RuleTrigger.FAILURE and rule.enabled
            ]
        return result


def load_rules(path: Path | None) -> RuleBook:
    """Read rules from a file, or the default rules. Raises ``RulesError`` with every mistake and its line."""
    if path is None:
        return parse_rules(
            (resources.files(__package__) / "default_rules.toml").read_text(encoding="utf-8"), "default_rules.toml"
        )
    try:
        return parse_rules(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise RulesError(str(path), [f"the file cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise RulesError(str(path), ["the file is not UTF-8 text"]) from error


def parse_rules(text: str, source: str) -> RuleBook:
    """Read rules from TOML. Raises ``RulesError`` with every mistake."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(source, [_of_toml(str(error))]) from error
    given = document.pop("rule", [])
    lines = TomlLines(text)
    result = [(lines.line(None, (name,)), f"{name}: unknown key; every rule begins with [[rule]]") for name in document]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise RulesError(source, [f"line {lines.line(None, ('rule',))}: rule: every rule begins with [[rule]]"])
    names: list[object] = []
    for number, item in enumerate(given):
        result += [(lines.line(number, path), mistake) for path, mistake in _mistakes(item, names)]
    if result:
        raise RulesError(source, [f"line {line}: {mistake}" for line, mistake in sorted(result)])
    return RuleBook.model_validate({"rule": given})


def _mistakes(given: dict[str, Any], names: list[object]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the mistakes of one rule, each with its key; `names` are those of the rules before."""
    if given.get("name") in names:
        yield ("name",), f"name: two rules are called {given['name']}; give each its own name"
    names.append(given.get("name"))
    try:
        rule = AlertRule.model_validate(given)
    except ValidationError as error:
        wrong = [
            (tuple(part for part in item["loc"] if isinstance(part, str) and part != "[key]"), item)
            for item in error.errors(include_url=False, include_input=False)
        ]
        for path, item in wrong:
            yield path, f"{'.'.join(path)}: {_reason(item['type'], path, item['msg'])}"
        try:  # the other keys may be inconsistent, too
            rule = AlertRule.model_validate(
                {"name": "x", "on": "spread", **_without(given, [path for path, _ in wrong])}
            )
        except ValidationError:
            return
        if given.get("on") not in set(RuleTrigger):
            return
    yield from _inconsistent(rule)


def _without(given: dict[str, Any], paths: list[tuple[str, ...]]) -> dict[str, Any]:
    return {
        name: _without(value, [path[1:] for path in paths if path[0] == name]) if isinstance(value, dict) else value
        for name, value in given.items()
        if (name,) not in paths
    }


def _inconsistent(rule: AlertRule) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield mistakes in valid keys: with them a rule would never fire, or would not do what it states."""
    for name in sorted(rule.labels.keys() & _OWN_LABELS):
        yield ("labels", name), f"labels.{name}: stumble sets this label itself; choose another name"
    if rule.on is not RuleTrigger.SPREAD:
        for name in ("window", "failures", "instances", "projects"):
            if name in rule.model_fields_set:
                yield (name,), f"{name}: belongs to on = 'spread', not '{rule.on}'"
    elif rule.instances == rule.projects == 1:
        yield ("on",), "on: 'spread' needs instances or projects of at least 2"
    if rule.outcomes:
        yield from _of_requests(rule)
    elif rule.match.outcome:
        yield ("match", "outcome"), "match.outcome: belongs to on = 'outcome'; a failure has no outcome of its own"
    for name, mistake in unmatchable_fields(rule.match, rule.outcomes or OUTCOMES):
        yield ("match", name), mistake


def _of_requests(rule: AlertRule) -> Iterator[tuple[tuple[str, ...], str]]:
    if rule.on is RuleTrigger.OUTCOME and not rule.match.outcome:
        yield ("on",), f"on: 'outcome' needs match.outcome, some of {', '.join(ALERT_OUTCOMES)}"
    for name in _OF_FAILURES:
        if getattr(rule.match, name):
            yield (
                ("match", name),
                f"match.{name}: on = '{rule.on}' is about requests, and only a failure has this field",
            )


def unmatchable_fields(match: RuleMatch, outcomes: Sequence[str] = OUTCOMES) -> Iterator[tuple[str, str]]:
    """Yield the fields of a match with patterns that nothing can fit, and why."""
    for name, known in {"blame": BLAMES, "effect": EFFECTS, "outcome": outcomes}.items():
        for pattern in getattr(match, name):
            if not any(matches_pattern(value, pattern) for value in known):
                yield name, f"match.{name}: {pattern} fits none of {', '.join(known)}"


def _reason(kind: str, path: tuple[str, ...], message: str) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        known = RuleMatch.model_fields if path[0] == "match" else AlertRule.model_fields
        return "unknown key" + (_suggestion(path[-1], known) or f"; the keys are {', '.join(known)}")
    return message.removeprefix("Value error, ")


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _of_toml(message: str) -> str:
    """Put the line number first, as in all other mistakes."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message)
    return f"line {match[2]}: {match[1]} (column {match[3]})" if match else message
