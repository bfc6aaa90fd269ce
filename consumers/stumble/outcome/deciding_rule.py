"""The rules that decide an outcome, in the order in which the derivation looks at them."""

from __future__ import annotations

from enum import Enum, unique


@unique
class DecidingRule(Enum):
    """A rule that decides an outcome: the first that applies does. The value is its sentence in docs/outcomes.md."""

    ABORTED = "A user's abort (`live_migration_cancel`) began before the work ended: `CANCELLED`, linked to the abort."
    RACED_WITH_DELETE = (
        "Only a delete explains the failures, and evidence shows that the delete came first: `CANCELLED`, linked to "
        "the delete."
    )
    RACE_UNPROVEN = (
        "A delete that was requested before the failure may explain it, and it is not yet known which came first: "
        "`IN_PROGRESS`."
    )
    SWALLOWED_FAILURE = "Nova swallows this action's failures: a failure ends it, whatever marker follows: `FAILED`."
    FAILED_AFTER_SUCCESS = "A failure that ends the request follows its success marker on the same host: `FAILED`."
    RECOVERED = "A success marker, beside failures of attempts: `RECOVERED`."
    SUCCEEDED = "A success marker, and no failure: `SUCCEEDED`."
    STATED_CANCELLED = "The request's emitter states that it was cancelled: `CANCELLED`."
    FAILED = "A failure that ends the request: `FAILED`."
    GIVEN_UP_AFTER_RESTART = "A restarted service reset the server's task and resumed nothing: `FAILED`."
    DELETED_WHILE_OPEN = "A delete removed the server while the request was open: `CANCELLED`, linked to the delete."
    INTERRUPTED_BY_RESTART = "The clock: a service restarted and did not continue its part: `FAILED`."
    STALLED = "The clock: no event for longer than the deadline of its action: `STALLED`."
    NO_SIGNAL = "Nothing decides it: `IN_PROGRESS`."

    @property
    def number(self) -> int:
        """Return its position in the order, from 1, as docs/outcomes.md numbers it."""
        return list(DecidingRule).index(self) + 1
