"""Text at the edge: what PostgreSQL and UTF-8 can't hold is replaced, what is too long is cut and marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stumble.schemas.wire.schemas import Limits, Schema

_CUT = "…[cut]"
_CUT_BYTES = len(_CUT.encode())
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """Replace NUL and lone surrogates, which neither PostgreSQL nor UTF-8 can hold."""
    if text.isascii():
        return text.replace("\x00", _REPLACEMENT) if "\x00" in text else text
    fixed = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return fixed.replace("\x00", _REPLACEMENT)


def shorten(text: str, max_bytes: int) -> str:
    """Cut the middle out of ``text`` so that it has at most ``max_bytes`` of UTF-8, and mark the place.

    Both ends stay because a message tells most at its start and a traceback at its end. A short limit belongs to an
    id or a name: the start stays, without a mark, which would eat it up.
    """
    if len(text) * 4 <= max_bytes or len(raw := text.encode()) <= max_bytes:
        return text
    if max_bytes < _CUT_BYTES * 8:
        return raw[:max_bytes].decode("utf-8", "ignore")
    half = (max_bytes - _CUT_BYTES) // 2
    return raw[:half].decode("utf-8", "ignore") + _CUT + raw[-half:].decode("utf-8", "ignore")


def bounded(schema: Schema, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a record with every text cleaned and within the limits that its schema states."""
    return _bounded(schema.limits, record)


def _bounded(limits: Limits, record: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(record)
    for name, limit in limits.items():
        value = result.get(name)
        if value is None:
            continue
        if not isinstance(limit, int):
            result[name] = _bounded(limit, value)
        elif isinstance(value, str):
            result[name] = shorten(clean(value), limit)
        elif value:
            result[name] = _bounded_items(value, limit)
    return result


def _bounded_items(value: Any, limit: int) -> Any:
    """Bound a map or list of text as a whole: what no longer fits is left out."""
    left = limit
    if isinstance(value, Mapping):
        kept = {}
        for key, item in value.items():
            name, text = shorten(clean(str(key)), 255), shorten(clean(str(item)), limit)
            left -= len(name.encode()) + len(text.encode())
            if left >= 0:
                kept[name] = text
        return kept
    items = []
    for item in value:
        text = shorten(clean(str(item)), limit)
        left -= len(text.encode())
        if left >= 0:
            items.append(text)
    return items
