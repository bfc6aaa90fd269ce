"""Run checks in parallel; a check that hangs, fails or lacks a library is a finding, and the others continue."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from stumble.checks.model import Check, CheckContext, CheckedElsewhere, CheckLevel, CheckResult, fine, skipped, wrong
from stumble.checks.secrecy import Secrets
from stumble.runtime.error_texts import explain_error, install_hint
from stumble.wire.errors import StumbleError

__all__ = ["CheckOutcome", "run_checks", "select_checks"]


class CheckOutcome(NamedTuple):
    """One check with its findings and its duration in seconds."""

    check: Check
    findings: list[CheckResult]
    seconds: float

    @property
    def level(self) -> CheckLevel:
        """The most severe level of its findings."""
        levels = [finding.level for finding in self.findings]
        return next((level for level in CheckLevel if level in levels), CheckLevel.FINE)


def select_checks(names: Sequence[str], known: Sequence[Check]) -> list[Check]:
    """Return the checks of these names, all if there are none. Raises ``StumbleError`` for an unknown name."""
    unknown = [name for name in names if name not in {check.name for check in known}]
    if unknown:
        raise StumbleError(f"There is no check {unknown[0]!r}: `stumble check --list` lists them.")
    return [check for check in known if not names or check.name in names]


def run_checks(checks: Sequence[Check], scope: CheckContext) -> list[CheckOutcome]:
    """Run all checks in parallel, each with its own time limit; return their results in the given order."""
    secrets = Secrets.of(scope)
    names = {check.name for check in checks}
    jobs = [_Job(check, scope, secrets, names) for check in checks]
    for job in jobs:
        job.start()
    return [job.result() for job in jobs]


class _Job(threading.Thread):
    """A daemon thread: a call that hangs in a C library cannot be ended, so nothing waits for it."""

    def __init__(self, check: Check, scope: CheckContext, secrets: Secrets, names: set[str]) -> None:
        super().__init__(name=f"check {check.name}", daemon=True)
        self._check, self._scope, self._secrets = check, scope, secrets
        self._names = names
        self._findings: list[CheckResult] = []
        self._begin = self._end = time.monotonic()

    def run(self) -> None:
        """Collect the findings of the check."""
        check, scope = self._check, self._scope
        try:
            if check.name not in scope.asked and not check.applies(scope):
                self._findings.append(skipped(check.name, check.without))
            else:
                for finding in check.load()(scope):
                    self._findings.append(finding)
        except ModuleNotFoundError as error:
            says = f"{error.name} is not installed here"
            self._findings.append(skipped(check.name, says, install_hint(check.extra)))
        except CheckedElsewhere as error:
            if error.check in self._names:
                self._findings.append(skipped(check.name, f"see the check `{error.check}`"))
            else:
                self._findings.append(wrong(check.name, str(error), error.todo))
        except Exception as error:  # noqa: BLE001 - any error of a client library is a finding
            problem = explain_error(error).removesuffix(".")
            self._findings.append(wrong(check.name, problem, "fix the problem above and run the check again"))
        self._end = time.monotonic()

    def result(self) -> CheckOutcome:
        """Return the outcome when the check has ended, or when its time limit has passed."""
        self.join(max(0.0, self._begin + self._check.seconds - time.monotonic()))
        results = list(self._findings)
        if self.is_alive():
            problem = f"no answer within {self._check.seconds:.0f} s, given up"
            results.append(
                wrong(self._check.name, problem, "check the network and the server that the check connects to")
            )
            self._end = time.monotonic()
        elif not results:
            results.append(fine(self._check.name, "ok"))
        return CheckOutcome(self._check, [self._secrets.masked(item) for item in results], self._end - self._begin)
