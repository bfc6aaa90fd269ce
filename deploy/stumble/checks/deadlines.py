"""When silence counts: deadlines that name actions, and that leave Nova the time that its own time-outs give it."""

from __future__ import annotations

from collections.abc import Iterator

from stumble.checks.model import Finding, Scope, fine, warning, wrong
from stumble.outcome.deadlines import DEADLINES, DeadlineError, deadlines, spoken

__all__ = ["look"]

#: A relay speaks every 30 s; one late word is no silence.
_LEAST_SILENCE = 90.0


def look(scope: Scope) -> Iterator[Finding]:
    """Look at what is configured of the clock."""
    clock = scope.settings.clock
    try:
        held = deadlines(clock.deadlines)
    except DeadlineError as error:
        yield wrong("clock.deadlines", str(error), "correct the name: the projector does not start with it")
        return
    short = {action: one.allowed() for action, one in DEADLINES.items() if held[action] <= one.allowed()}
    for action, allowed in short.items():
        says = f"{action} stalls after {spoken(held[action])}; Nova's own time-outs allow {spoken(allowed)} of silence"
        yield warning(f"clock.deadlines.{action}", says, "give it longer, or its requests stall and come back")
    if not short:
        yield fine("clock.deadlines", f"{len(clock.deadlines)} of {len(held)} are your own; see docs/outcomes.md")
    if clock.silent_after < _LEAST_SILENCE:
        says = f"a host counts as dead after {spoken(clock.silent_after)}, and relays speak every 30 seconds"
        yield warning("clock.silent_after", says, "set it to 90s at least; 10m is the default")
