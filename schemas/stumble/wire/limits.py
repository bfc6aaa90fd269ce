"""The maxima of a schema's texts, checked where a record is read: not every writer uses stumble's own encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: Returns whether a value may be larger than its maximum.
Exceeds = Callable[[Any], bool]

#: Bytes of Avro's length prefixes of a map's entry, at most: two lengths below a million.
_PREFIXES = 6
_BYTES_PER_CHARACTER = 4
_KEY_BYTES = 255


def limit_check(definition: Mapping[str, Any]) -> Exceeds:
    """Return a function that tells whether a decoded record of a schema (its parsed JSON) may exceed a maximum.

    It is exact for texts. For a list or a map of texts, whose maximum applies to all of its items together, it may
    return True for one that is slightly smaller than the maximum. Raises nothing.
    """
    texts: list[tuple[str, int]] = []
    others: list[tuple[str, Exceeds]] = []
    for item in definition["fields"]:
        kind = item["type"][1] if isinstance(item["type"], list) else item["type"]
        tag = kind["type"] if isinstance(kind, dict) else kind
        if tag == "record":
            others.append((item["name"], limit_check(kind)))
        elif "maxBytes" not in item:
            continue
        elif tag == "string":
            texts.append((item["name"], item["maxBytes"]))
        else:
            others.append((item["name"], _of_map(item["maxBytes"]) if tag == "map" else _of_list(item["maxBytes"])))

    def exceeds(record: Mapping[str, Any]) -> bool:
        for name, limit in texts:
            text = record[name]
            if text is not None and (len(text) > limit or (not text.isascii() and len(text.encode()) > limit)):
                return True
        return any((part := record[name]) and exceeds_part(part) for name, exceeds_part in others)

    return exceeds


def _of_map(limit: int) -> Exceeds:
    def exceeds(entries: Mapping[str, str]) -> bool:
        return (
            max(map(len, entries)) * _BYTES_PER_CHARACTER > _KEY_BYTES or _size([*entries, *entries.values()]) > limit
        )

    return exceeds


def _of_list(limit: int) -> Exceeds:
    def exceeds(items: Iterable[str]) -> bool:
        return _size(items) > limit

    return exceeds


def _size(items: Iterable[str]) -> int:
    """Return how many bytes texts need at most, with their length prefixes."""
    return sum(_PREFIXES + (len(item) if item.isascii() else len(item) * _BYTES_PER_CHARACTER) for item in items)
