"""One clear line for the operator when something starts, and one when it is over."""

from __future__ import annotations

import logging


class StateLog:
    """Remembers what was said, so that a state is told when it changes and not each time it is met."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[str, str] = {}

    def say(self, key: str, text: str) -> None:
        """Log `text` unless it is what was said last of `key`."""
        if self._said.get(key) != text:
            self._said[key] = text
            self._log.warning(text)

    def begin(self, key: str, text: str) -> None:
        """Log `text` unless something holds of `key` already: each try may put the same trouble in other words."""
        if key not in self._said:
            self.say(key, text)

    def over(self, key: str, text: str) -> None:
        """Log `text` when what was said of `key` no longer holds."""
        if self._said.pop(key, None) is not None:
            self._log.warning(text)

    def __bool__(self) -> bool:
        return bool(self._said)

    def current(self) -> list[str]:
        """Return what holds now."""
        return list(self._said.values())
