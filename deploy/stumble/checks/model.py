"""A check, what it reads and its results."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from stumble.bridge.settings import TransportSettings
from stumble.settings.base import Settings
from stumble.wire.errors import StumbleError

__all__ = [
    "IMPORTING",
    "Check",
    "CheckContext",
    "CheckLevel",
    "CheckResult",
    "CheckedElsewhere",
    "fine",
    "skipped",
    "warning",
    "wrong",
]


#: A thread holds it while it imports: two threads that import a package and a module of it at the same time wait for
#: each other, and Python then gives one of them a module that is not completely initialized.
IMPORTING = threading.RLock()


class CheckLevel(StrEnum):
    """The severity of a result; only ``wrong`` makes the exit status 1."""

    WRONG = "wrong"
    WARNING = "warning"
    SKIPPED = "skipped"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check reports about one subject, and what to do (empty if there is nothing to do)."""

    level: CheckLevel
    subject: str
    says: str
    todo: str = ""


def wrong(subject: str, says: str, todo: str) -> CheckResult:
    """Return a problem that the operator must fix."""
    return CheckResult(CheckLevel.WRONG, subject, says, todo)


def warning(subject: str, says: str, todo: str) -> CheckResult:
    """Return a problem that the operator should examine."""
    return CheckResult(CheckLevel.WARNING, subject, says, todo)


def skipped(subject: str, says: str, todo: str = "") -> CheckResult:
    """Return a subject that was not checked, with the reason."""
    return CheckResult(CheckLevel.SKIPPED, subject, says, todo)


def fine(subject: str, says: str) -> CheckResult:
    """Return a subject without a problem."""
    return CheckResult(CheckLevel.FINE, subject, says)


class CheckedElsewhere(StumbleError):
    """A check cannot run because of a problem that the check `check` reports."""

    def __init__(self, check: str, says: str, todo: str) -> None:
        super().__init__(says)
        self.check, self.todo = check, todo


@dataclass(frozen=True)
class CheckContext:
    """What the checks read: the settings, and what the command line adds to them."""

    settings: Settings
    #: System user of the service whose rights are checked; None for the user that runs the check.
    user: str | None = None
    #: Message buses with notifications: the bridge's, and what the command line names.
    transports: tuple[TransportSettings, ...] = ()
    #: Names of those that a bridge should read.
    bridged: frozenset[str] = field(default_factory=frozenset)
    #: Checks that the command line names: they check defaults too.
    asked: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def database(self) -> str:
        """URL of the store, password included."""
        return self.settings.database_url.get_secret_value()

    @property
    def names_database(self) -> bool:
        """Whether the configuration names a database; hosts that only produce have none."""
        return "database_url" in self.settings.model_fields_set

    @property
    def names_outbox(self) -> bool:
        """Whether this host has an outbox, or should have one."""
        return "outbox_dir" in self.settings.model_fields_set or Path(self.settings.outbox_dir).exists()


Run = Callable[[CheckContext], Iterable[CheckResult]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `target` is ``module:function``, imported only when it runs, since it may need an extra."""

    name: str
    about: str
    target: str
    #: The extra that installs what it imports.
    extra: str
    #: Its time limit.
    seconds: float = 15.0
    #: Whether it applies to what the configuration names; if the command line names it, it always runs.
    applies: Callable[[CheckContext], bool] = lambda _: True
    #: The reason to show where it doesn't apply.
    without: str = "not configured"

    def load(self) -> Run:
        """Import the function. Raises ``ModuleNotFoundError`` if an extra is missing."""
        module, _, name = self.target.partition(":")
        with IMPORTING:
            result: Run = getattr(importlib.import_module(module), name)
        return result
