"""What stands in the way now: one line in the log when it begins, one when it is over."""

from __future__ import annotations

import structlog

LOG = structlog.get_logger("stumble.relay")


class RelayStateLog:
    """Troubles by what they are about (``kafka``, a folder)."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def begin(self, about: str, text: str) -> None:
        """Tell of a trouble unless it was told already."""
        if self._now.get(about) != text:
            self._now[about] = text
            LOG.warning("waiting", about=about, reason=text)

    def end(self, about: str) -> None:
        """Tell that it is over, if there was one."""
        if self._now and self._now.pop(about, None) is not None:
            LOG.info("going on", about=about)

    def about(self, what: str) -> str:
        """Return the trouble there is about something; empty where there is none."""
        return self._now.get(what, "")
