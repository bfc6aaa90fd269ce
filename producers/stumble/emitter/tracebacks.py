"""Removes tracebacks from failures, for hosts that they must not leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TEXTS: Final = ("message", "reason")
#: First line of a Python traceback. The texts of remote exceptions contain it, on its own line or in a printed list.
_START: Final = "Traceback (most recent call last)"
_BEFORE_START: Final = " \t\r\n[(u'\""


def without_traceback(failure: Mapping[str, Any]) -> dict[str, Any]:
    """Return a failure without its traceback; its texts are cut where a traceback in them begins."""
    result = {**failure, "traceback": None}
    for name in _TEXTS:
        value = result.get(name)
        if isinstance(value, str) and _START in value:
            result[name] = value.partition(_START)[0].rstrip(_BEFORE_START) or None
    return result
