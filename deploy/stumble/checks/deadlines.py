"""When silence counts: deadlines that name actions, and that leave Nova the time that its own time-outs give it."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.outcome.deadlines import DEADLINES, DeadlineError, deadlines, format_duration

__all__ = ["check_deadlines"]

#: A relay speaks every 30 s; one late word is no silence.
_LEAST_SILENCE = 90.0


def check_deadlines(scope: CheckContext) -> Iterator[CheckResult]:
    """Look at what is configured of the clock."""
    clock = scope.settings.clock
    try:
        held = deadlines(clock.deadlines)
    except DeadlineError as error:
        yield wrong("clock.deadlines", str(error), "correct the name: the projector does not start with it")
        return
    short = {action: one.allowed() for action, one in DEADLINES.items() if held[action] <= one.allowed()}
    for action, allowed in short.items():
        nova = f"Nova's own time-outs allow {format_duration(allowed)} of silence"
        says = f"{action} stalls after {format_duration(held[action])}; {nova}"
        yield warning(f"clock.deadlines.{action}", says, "give it longer, or its requests stall and come back")
    if not short:
        yield fine("clock.deadlines", f"{len(clock.deadlines)} of {len(held)} are your own; see docs/outcomes.md")
    if clock.silent_after < _LEAST_SILENCE:
        says = f"a host counts as dead after {format_duration(clock.silent_after)}, and relays speak every 30 seconds"
        yield warning("clock.silent_after", says, "set it to 90s at least; 10m is the default")
