"""Reads single named fields from data of any shape.

A payload is never copied as a whole: it may contain tokens, user data, injected files and connection secrets.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from stumble.wire.masking import MAX_TEXT, mask_secrets

_UUID = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})", re.IGNORECASE)
_EMPTY: Mapping[str, Any] = {}
_VERSIONED_DATA = "nova_object.data"


def mapping(value: Any) -> Mapping[str, Any]:
    """Return ``value`` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else _EMPTY


def data(value: Any) -> Mapping[str, Any]:
    """Return the fields of an object that may be wrapped like Nova's versioned payloads."""
    result = mapping(value)
    inner = result.get(_VERSIONED_DATA)
    return inner if isinstance(inner, Mapping) else result


def text(value: Any) -> str | None:
    """Return a scalar as text, or None if it is empty or not a scalar.

    A text that is too long loses its middle. Its secrets are masked before that, because a part of a secret is not
    recognisable.
    """
    if isinstance(value, str):
        return (value if len(value) <= MAX_TEXT else mask_secrets(value)) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value) if isinstance(value, float) or abs(value) < 10**30 else None


def integer(value: Any) -> int | None:
    """Return an integer in the range of Avro's int, else None."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31:
        return value
    return None


def uuid(value: Any) -> str | None:
    """Return a uuid in lower case with hyphens, or None for any other value."""
    if not isinstance(value, str) or not 32 <= len(value) <= 36:
        return None
    match = _UUID.fullmatch(value)
    return "-".join(match.groups()).lower() if match else None


def time_us(value: Any) -> int | None:
    """Return a time (ISO text as oslo.messaging writes it, naive is UTC) in UTC microseconds, else None."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        result = datetime.fromisoformat(value)
        if result.tzinfo is not None:
            result = result.astimezone(UTC)
        micros = timegm(result.timetuple()) * 1_000_000 + result.microsecond
    except (ValueError, OverflowError):
        return None
    return micros if micros > 0 else None
