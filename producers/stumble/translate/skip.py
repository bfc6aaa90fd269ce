"""Why a signal yields no events: a small closed set of names, for counters."""

from __future__ import annotations

from typing import Final

NOT_AN_ACTION: Final = "not_an_action"
"""Known, and about no action of an instance."""
UNKNOWN: Final = "unknown_event_type"
"""Not known: a newer Nova, or another service on the same topic."""
NO_INSTANCE: Final = "no_instance"
"""An action's signal that names no instance."""
NO_IDENTITY: Final = "no_identity"
"""No event type, publisher, message id or time: no id can be made."""
MALFORMED: Final = "malformed"
"""The payload has a shape that Nova does not send."""

ALL: Final = (NOT_AN_ACTION, UNKNOWN, NO_INSTANCE, NO_IDENTITY, MALFORMED)


class Skipped(Exception):
    """Ends a translation; its text is one of the names above."""
