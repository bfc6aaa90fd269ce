"""Times and durations as users write them: `15m`, `2h`, `3d`, or an ISO 8601 date or time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw])", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_SPANS = re.compile(rf"(?:{_SPAN.pattern})+", re.ASCII)
HINT = "give a duration such as 15m, 2h or 3d, or an ISO 8601 time such as 2026-01-31T12:00:00Z"


def parse_duration(text: str) -> timedelta:
    """Return the duration `90s`, `15m`, `1h30m` or `3d`; a bare number is seconds. Raises `ValueError`."""
    value = text.strip().lower()
    if _NUMBER.fullmatch(value):
        value += "s"
    if not _SPANS.fullmatch(value):
        raise ValueError(f"{text!r} is not a valid duration: give one such as 30s, 15m, 2h or 3d")
    try:
        return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in _SPAN.findall(value)), timedelta())
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long for a duration") from error


def parse_when(text: str, now: datetime | None = None) -> datetime:
    """Return a time in UTC: a duration counts back from now, a time without an offset is UTC. Raises `ValueError`."""
    value = text.strip()
    if _SPANS.fullmatch(value.lower()):
        try:
            return max(EPOCH, (now or datetime.now(UTC)) - parse_duration(value))
        except (OverflowError, ValueError):  # longer ago than a datetime can be
            return EPOCH
    try:
        result = datetime.fromisoformat(value)
        return (result if result.tzinfo else result.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a valid time: {HINT}") from error


def rfc3339(time: datetime) -> str:
    """Return `2026-01-31T12:00:00.000000Z`: always UTC and microseconds, so that texts sort like times."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_micros(value: int | str | None) -> datetime | None:
    """Return a time from microseconds since 1970 or from ISO 8601 text.

    None for None, for empty text and for a number outside of the years 1 to 9999, which a record may claim.
    """
    if value is None or isinstance(value, str):
        return parse_when(value) if value else None
    try:
        return EPOCH + timedelta(microseconds=value)
    except OverflowError:
        return None


def from_millis(value: int | None) -> datetime | None:
    """Return a time from Kafka's milliseconds since 1970; None for None, -1 (no time) and what no time can be."""
    return None if value is None or value < 0 else from_micros(value * 1000)


def with_readable_times(value: Any, name: str = "") -> Any:
    """Return a value in which the numbers of microseconds under names with `_at` are times as `rfc3339` writes them."""
    if isinstance(value, dict):
        return {key: with_readable_times(each, key) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_readable_times(each) for each in value]
    if name.endswith("_at") and isinstance(value, int):
        time = from_micros(value)
        return rfc3339(time) if time else str(value)
    return value
