"""One line in the log when a state begins, and one when it is over."""

from __future__ import annotations

import logging


class StateLog:
    """Remembers what was logged of each subject, so that a state is logged when it changes, not each time it is met."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._texts: dict[str, str] = {}

    def say(self, subject: str, text: str) -> None:
        """Log `text` unless it is what was logged last of `subject`."""
        if self._texts.get(subject) != text:
            self._texts[subject] = text
            self._log.warning(text)

    def begin(self, subject: str, text: str) -> None:
        """Log `text` unless something holds of `subject` already: each try may put the same fault in other words."""
        if subject not in self._texts:
            self.say(subject, text)

    def over(self, subject: str, text: str) -> None:
        """Log `text` if something held of `subject`."""
        if self._texts and self._texts.pop(subject, None) is not None:
            self._log.warning(text)

    def __bool__(self) -> bool:
        return bool(self._texts)

    def current(self) -> list[str]:
        """Return what holds now, of all subjects."""
        return list(self._texts.values())

    def get(self, subject: str) -> str:
        """Return what holds of `subject`; empty if nothing does."""
        return self._texts.get(subject, "")
