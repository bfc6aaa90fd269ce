"""Logs one line when a state begins and one when it ends."""

from __future__ import annotations

import logging
import time

_REPEAT_S = 60.0


class StateLog:
    """Remembers the last text logged per subject, so that a state is logged only when it changes."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._texts: dict[str, str] = {}
        self._repeat_at: dict[str, float] = {}

    def say(self, subject: str, text: str) -> None:
        """Log `text` unless it is the last text logged for `subject`."""
        if self._texts.get(subject) != text:
            self._texts[subject] = text
            self._log.warning(text)

    def begin(self, subject: str, text: str) -> None:
        """Log `text` unless `subject` already has a state: each retry may describe the same fault differently."""
        if subject not in self._texts:
            self.say(subject, text)

    def repeat(self, subject: str, text: str) -> None:
        """Log `text`, unless a text of `subject` was logged in the last minute: for events that may be many."""
        now = time.monotonic()
        if now >= self._repeat_at.get(subject, now):
            self._repeat_at[subject] = now + _REPEAT_S
            self._log.warning(text)

    def over(self, subject: str, text: str) -> None:
        """End the state of `subject`, if it has one, and log `text`."""
        if self._texts and self._texts.pop(subject, None) is not None:
            self._log.warning(text)

    def get(self, subject: str) -> str:
        """Return the current text of `subject`; empty if it has none."""
        return self._texts.get(subject, "")
