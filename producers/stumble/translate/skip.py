"""Reasons why a signal gives no events: a fixed set of names, for counters."""

from __future__ import annotations

from typing import Final

NOT_AN_ACTION: Final = "not_an_action"
"""The event type is known and does not concern an action of an instance."""
UNKNOWN: Final = "unknown_event_type"
"""The event type is unknown: from a newer Nova, or another service on the same topic."""
NO_INSTANCE: Final = "no_instance"
"""The signal belongs to an action but names no instance."""
NO_IDENTITY: Final = "no_identity"
"""Event type, publisher, message id or time is missing: no id can be derived."""
MALFORMED: Final = "malformed"
"""The payload has a shape that Nova does not send."""

ALL: Final = (NOT_AN_ACTION, UNKNOWN, NO_INSTANCE, NO_IDENTITY, MALFORMED)


class Skipped(Exception):
    """Ends a translation; its text is one of the names above."""
