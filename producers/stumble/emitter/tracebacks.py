"""Failures without their tracebacks, for hosts that must keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TEXTS: Final = ("message", "reason")
#: How Python begins one; texts of remote exceptions carry it along, on a line of its own or inside a printed list.
_START: Final = "Traceback (most recent call last)"
_BEFORE_IT: Final = " \t\r\n[(u'\""


def without_traceback(failure: Mapping[str, Any]) -> dict[str, Any]:
    """Return a failure without its traceback, nor one that its texts carry: they end where that begins."""
    result = {**failure, "traceback": None}
    for name in _TEXTS:
        value = result.get(name)
        if isinstance(value, str) and _START in value:
            result[name] = value.partition(_START)[0].rstrip(_BEFORE_IT) or None
    return result
