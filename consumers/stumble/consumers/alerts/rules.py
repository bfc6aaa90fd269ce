"""Rules: which failures are worth an alert. TOML, checked as a whole before any of it is used.

Rates, windows over metrics, silences, routing and quiet hours are Prometheus' and Alertmanager's. A rule here speaks
of what those can't know: one failure, a new or regressed problem, one that spreads, a request that stalls.
"""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from stumble.schemas.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
_OWN_LABELS = frozenset({"alertname", "rule", "problem", "severity", "action", "exception", "blame"})
_FIELDS = {"project": "owner_project_id"}


class On(StrEnum):
    """What makes a rule speak up."""

    FAILURE = "failure"
    PROBLEM = "problem"
    SPREAD = "spread"
    STALLED = "stalled"


class RulesError(StumbleError):
    """The rules can't be used; the text names each mistake with its line."""

    def __init__(self, source: str, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__(f"{source} can't be used: " + "; ".join(mistakes))


def duration(value: object) -> object:
    """Read ``15m`` as a timedelta; anything else goes on to pydantic."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+)([smhd])", value)
    if found is None:
        raise ValueError("write a number and s, m, h or d, such as 15m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Duration = Annotated[timedelta, BeforeValidator(duration)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class Match(BaseModel):
    """What a failure or outcome must be: every field that is given, any of its patterns (``*`` and ``?`` work)."""

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
        """Tell whether the fields of an ``ActionFailed`` or ``ActionOutcome`` match."""
        return all(
            any(fnmatchcase(str(payload.get(_FIELDS.get(name, name)) or ""), pattern) for pattern in patterns)
            for name, patterns in self
            if patterns
        )


class Rule(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    on: On
    match: Match = Match()
    window: Duration = timedelta(minutes=10)
    failures: int = Field(1, ge=1)
    instances: int = Field(1, ge=1)
    projects: int = Field(1, ge=1)
    quiet: Duration = timedelta(minutes=15)
    severity: str = Field("warning", pattern="^(info|warning|critical)$")
    labels: dict[Annotated[str, Field(pattern=_LABEL)], str] = Field(default_factory=dict)
    text: str = Field("", max_length=500)
    enabled: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if taken := sorted(self.labels.keys() & _OWN_LABELS):
            raise ValueError(f"labels: {', '.join(taken)} is set by stumble itself; choose another name")
        if self.on is not On.SPREAD and {"window", "failures", "instances", "projects"} & self.model_fields_set:
            raise ValueError(f"window, failures, instances and projects belong to on = 'spread', not '{self.on}'")
        if self.on is On.SPREAD and self.instances == self.projects == 1:
            raise ValueError("on = 'spread' needs instances or projects of at least 2")
        if self.match.outcome and self.on is not On.STALLED:
            raise ValueError("match.outcome belongs to on = 'stalled'; a failure has no outcome of its own")
        return self


class RuleBook(BaseModel):
    """All rules, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> RuleBook:
        names = [rule.name for rule in self.rule]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are called {name}; give each its own name")
        return self

    def warnings(self, *, alertmanager: bool) -> list[str]:
        """Return what works but is seldom wanted."""
        if not alertmanager:
            return []
        return [
            f"{rule.name}: Alertmanager sees one alert per problem, however many failures come; "
            "what must hear of each one subscribes by webhook or reads the topic"
            for rule in self.rule
            if rule.on is On.FAILURE and rule.enabled
        ]


def load_rules(path: Path | None) -> RuleBook:
    """Read rules from a file, or those that ship. Raises ``RulesError`` with every mistake and its line."""
    if path is None:
        return parse_rules(
            (resources.files(__package__) / "default_rules.toml").read_text(encoding="utf-8"), "default_rules.toml"
        )
    try:
        return parse_rules(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(str(path), [f"it can't be read: {error}"]) from error


def parse_rules(text: str, source: str) -> RuleBook:
    """Read rules from TOML. Raises ``RulesError``."""
    try:
        return RuleBook.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RulesError(source, [str(error)]) from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RulesError(source, [_mistake(text, item["loc"], item["msg"]) for item in found]) from error


def _mistake(text: str, place: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    names = [part for part in place[2:] if isinstance(part, str) and part != "[key]"]
    if len(place) < 2 or not isinstance(place[1], int):
        return f"{'.'.join(map(str, place)) or 'the file'}: {message}"
    line = _line(text, place[1], names)
    return f"line {line}: {'.'.join(names) or 'rule'}: {message}"


def _line(text: str, number: int, names: list[str]) -> int:
    """Return the line (from 1) of a key of the ``number``-th rule; of the rule itself where the key isn't found."""
    lines = text.splitlines()
    starts = [index for index, line in enumerate(lines) if line.strip().startswith("[[rule]]")]
    if number >= len(starts):
        return 1
    end = starts[number + 1] if number + 1 < len(starts) else len(lines)
    for index in range(starts[number], end):
        if names and re.match(rf"\s*(\[rule\.)?[\w.\"]*\b{re.escape(names[-1])}\b", lines[index]):
            return index + 1
    return starts[number] + 1
