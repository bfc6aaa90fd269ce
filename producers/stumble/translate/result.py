"""The result of a translation."""

from __future__ import annotations

from typing import NamedTuple

from stumble.translate.build import Event


class Translation(NamedTuple):
    """The events of a signal, or the name of the reason for having none (for a counter)."""

    events: list[Event]
    skipped: str | None = None
