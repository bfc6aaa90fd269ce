"""Log lines about single hosts, limited in number: a hostile writer can invent any number of hosts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

_AGAIN_SECONDS: Final = 3600.0
_MOST_HOSTS: Final = 50
_SHOWN_CHARACTERS: Final = 80


class HostNotices:
    """Logs a notice once an hour for each host and kind, for at most 50 of them an hour."""

    def __init__(self, log: logging.Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._logged: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()  # writers and readers of the projector share one object

    def add(self, kind: str, host: str, text: str) -> None:
        """Log ``text``, whose ``{host}`` is replaced, unless a notice of this kind was logged for the host."""
        with self._lock:
            self._add(kind, host, text)

    def _add(self, kind: str, host: str, text: str) -> None:
        now, subject = self._now(), (kind, host)
        if subject in self._logged and now - self._logged[subject] < _AGAIN_SECONDS:
            return
        self._logged = {one: at for one, at in self._logged.items() if now - at < _AGAIN_SECONDS}
        if len(self._logged) > _MOST_HOSTS:
            return
        self._logged[subject] = now
        if len(self._logged) > _MOST_HOSTS:
            self._log.warning("There are more notices about hosts; for an hour no further ones are logged.")
        else:
            shown = host if len(host) <= _SHOWN_CHARACTERS else f"{host[:_SHOWN_CHARACTERS]}…"
            self._log.warning(text.replace("{host}", repr(shown)[1:-1] or "a host without a name"))


def distance(micros: int) -> str:
    """Return a difference of two times as text, such as `2.0 days after`; positive numbers are in the future."""
    size, way = abs(micros) / 1e6, "after" if micros > 0 else "before"
    for unit, seconds in (("years", 31_557_600), ("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if size >= 2 * seconds:
            return f"{size / seconds:.1f} {unit} {way}"
    return f"{size:.0f} seconds {way}"
