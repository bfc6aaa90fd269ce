"""Check the deadlines: each names an action, and none is shorter than Nova's own time-outs."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.outcome.deadlines import DEADLINES, DeadlineError, effective_deadlines, format_duration

__all__ = ["check_deadlines"]

#: Seconds. A relay reports every 30 s; one late report does not make its host silent.
_LEAST_SILENCE = 90.0


def check_deadlines(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the settings of the clock."""
    clock = scope.settings.clock
    try:
        effective = effective_deadlines(clock.deadlines)
    except DeadlineError as error:
        yield wrong("clock.deadlines", str(error), "correct the name; the projector does not start with it")
        return
    short = {action: one.allowed() for action, one in DEADLINES.items() if effective[action] <= one.allowed()}
    for action, allowed in short.items():
        nova = f"Nova's own time-outs allow {format_duration(allowed)} of silence"
        says = f"{action} stalls after {format_duration(effective[action])}; {nova}"
        yield warning(
            f"clock.deadlines.{action}",
            says,
            "set a longer deadline, or its requests become STALLED and change back later",
        )
    if not short:
        yield fine(
            "clock.deadlines", f"{len(clock.deadlines)} of {len(effective)} are configured; see docs/outcomes.md"
        )
    if clock.silent_after < _LEAST_SILENCE:
        says = f"a host counts as dead after {format_duration(clock.silent_after)}, and relays report every 30 seconds"
        yield warning("clock.silent_after", says, "set it to at least 90s; 10m is the default")
