"""Types of values that users write: in query parameters, on the command line, in settings."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from stumble.runtime.times import parse_duration, parse_when


def _parse(value: Any) -> Any:
    if isinstance(value, int | float):  # pydantic would take a number for seconds or milliseconds since 1970
        raise ValueError(f"{value} is not a valid time: give one such as 15m, 3d or 2026-01-31T12:00:00Z")  # noqa: TRY004
    return parse_when(value) if isinstance(value, str) else value


def _parse_duration(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a valid duration: give one such as 30s, 15m, 2h or 3d")  # noqa: TRY004
    return parse_duration(value) if isinstance(value, str) else value


def _parse_seconds(value: Any) -> Any:
    duration = _parse_duration(value)
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


#: A time: a duration back from now (`15m`, `3d`) or an ISO 8601 time.
When = Annotated[
    datetime,
    BeforeValidator(_parse),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^([0-9]{1,9}(\\.[0-9]{1,6})?[smhdw])+$"},
                {"type": "string", "format": "date-time"},
            ],
            "examples": ["15m", "3d", "2026-01-31T12:00:00Z"],
        },
    ),
]
#: A duration (`15m`, `1h30m`, `3d`; a bare number is seconds), from a second to ten years.
Duration = Annotated[
    timedelta, BeforeValidator(_parse_duration), Field(ge=timedelta(seconds=1), le=timedelta(days=3650))
]
#: A duration as a number of seconds, greater than zero.
Seconds = Annotated[float, BeforeValidator(_parse_seconds), Field(gt=0)]
#: Characters that PostgreSQL can store: no NUL among them, and no lone surrogate, which pydantic refuses here.
StorableText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
#: One to 255 characters that PostgreSQL can store: no NUL among them.
Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
