"""Reasons why a signal gives no events: a fixed set of names, for counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NOT_AN_ACTION: Final = "not_an_action"
UNKNOWN: Final = "unknown_event_type"
NO_INSTANCE: Final = "no_instance"
NO_IDENTITY: Final = "no_identity"
MALFORMED: Final = "malformed"

#: What each reason means.
MEANINGS: Final[Mapping[str, str]] = {
    NOT_AN_ACTION: "The event type is known and does not concern an action of an instance.",
    UNKNOWN: "The event type is unknown: from a newer Nova, or another service on the same topic.",
    NO_INSTANCE: "The signal belongs to an action but names no instance.",
    NO_IDENTITY: "Event type, publisher, message id or time is missing: no id can be derived.",
    MALFORMED: "The payload has a shape that Nova does not send.",
}
ALL: Final = tuple(MEANINGS)


class Skipped(Exception):
    """Ends a translation; its text is one of the names above."""
