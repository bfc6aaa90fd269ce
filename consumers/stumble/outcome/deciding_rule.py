"""The rules that decide an outcome, in the order in which the derivation looks at them."""

from __future__ import annotations

from enum import Enum, unique


@unique
class DecidingRule(Enum):
    """A rule that decides an outcome: the first that applies does. The value is its sentence in docs/outcomes.md."""

    ABORTED = (
        "There is no success marker, and a user's abort (`live_migration_cancel`) began on the host that then stopped "
        "the work: `CANCELLED`, linked to the abort."
    )
    RACED_WITH_DELETE = (
        "The request has not succeeded, only a delete explains its failure, and evidence shows that the delete came "
        "first: `CANCELLED`, linked to the delete."
    )
    ORDER_UNPROVEN = (
        "A delete or an abort that was requested before the failure, by the clocks, still runs and may explain it; no "
        "evidence shows which came first: `IN_PROGRESS`."
    )
    SWALLOWED_FAILURE = "A failure that Nova swallows ended the request, whatever marker follows: `FAILED`."
    FAILED_AFTER_SUCCESS = (
        "A failure that ends the request follows its success marker, by the clock of one host: `FAILED`."
    )
    RECOVERED = "There is a success marker, beside failures of attempts: `RECOVERED`."
    SUCCEEDED = "There is a success marker, and no failure: `SUCCEEDED`."
    STATED_CANCELLED = "The request's emitter states that it was cancelled: `CANCELLED`."
    FAILED = "There is a failure that ends the request: `FAILED`."
    GIVEN_UP_AFTER_RESTART = "A restarted service reset the server's task and resumed nothing: `FAILED`."
    FOUND_IN_ERROR = (
        "An attempt failed, and the next request, up to a delete, found the server in `error`, "
        "which it was not before: `FAILED`."
    )
    DELETED_WHILE_OPEN = "A delete removed the server while the request was open: `CANCELLED`, linked to the delete."
    INTERRUPTED_BY_RESTART = "The clock: a service restarted and did not continue its part: `FAILED`."
    STALLED = "The clock: there was no event for longer than the deadline of the action: `STALLED`."
    NO_SIGNAL = "Nothing decides the outcome: `IN_PROGRESS`."

    @property
    def number(self) -> int:
        """Return its position in the order, from 1, as docs/outcomes.md numbers it."""
        return list(DecidingRule).index(self) + 1
