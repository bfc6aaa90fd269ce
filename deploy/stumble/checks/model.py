"""What a check is, what it is told and what it finds."""

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


#: Held by whoever imports: threads that import a package and a part of it at once wait for each other, and Python then
#: gives one of them a module that is only half there.
IMPORTING = threading.RLock()


class CheckLevel(StrEnum):
    """How bad it is; only ``wrong`` makes the exit status 1."""

    WRONG = "wrong"
    WARNING = "warning"
    SKIPPED = "skipped"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at: what about it, and what to do (empty where nothing is to be done)."""

    level: CheckLevel
    subject: str
    says: str
    todo: str = ""


def wrong(subject: str, says: str, todo: str) -> CheckResult:
    """Return what must be mended."""
    return CheckResult(CheckLevel.WRONG, subject, says, todo)


def warning(subject: str, says: str, todo: str) -> CheckResult:
    """Return what should be looked at."""
    return CheckResult(CheckLevel.WARNING, subject, says, todo)


def skipped(subject: str, says: str, todo: str = "") -> CheckResult:
    """Return what was not looked at, and why."""
    return CheckResult(CheckLevel.SKIPPED, subject, says, todo)


def fine(subject: str, says: str) -> CheckResult:
    """Return what is as it should be."""
    return CheckResult(CheckLevel.FINE, subject, says)


class CheckedElsewhere(StumbleError):
    """A check can't look because of what another check tells, under that one's name."""

    def __init__(self, check: str, says: str, todo: str) -> None:
        super().__init__(says)
        self.check, self.todo = check, todo


@dataclass(frozen=True)
class CheckContext:
    """What is looked at: the settings, and what the command line adds to them."""

    settings: Settings
    #: System user of the service whose rights count; None for whoever runs the check.
    user: str | None = None
    #: Message buses with notifications: the bridge's, and what the command line names.
    transports: tuple[TransportSettings, ...] = ()
    #: Names of those that a bridge should read.
    bridged: frozenset[str] = field(default_factory=frozenset)
    #: Checks that were asked for by name: they look at defaults too.
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
    #: The extra that brings what it imports.
    extra: str
    #: It is given up after so many seconds.
    seconds: float = 15.0
    #: Whether it applies to what the configuration names; asked for by name it always does.
    applies: Callable[[CheckContext], bool] = lambda _: True
    #: Said where it doesn't apply.
    without: str = "not configured"

    def load(self) -> Run:
        """Import the function. Raises ``ModuleNotFoundError`` where an extra is missing."""
        module, _, name = self.target.partition(":")
        with IMPORTING:
            result: Run = getattr(importlib.import_module(module), name)
        return result
