"""Types of values that people write: in query parameters, on the command line, in settings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema

from stumble.runtime.times import parse_when


def _parse(value: Any) -> Any:
    return parse_when(value) if isinstance(value, str) else value


#: A moment: a span back from now (`15m`, `3d`) or an ISO 8601 time.
When = Annotated[
    datetime,
    BeforeValidator(_parse),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^([0-9]{1,5}(\\.[0-9]{1,6})?[smhdw])+$"},
                {"type": "string", "format": "date-time"},
            ],
            "examples": ["15m", "3d", "2026-01-31T12:00:00Z"],
        },
    ),
]
#: One to 255 characters that PostgreSQL can store: no NUL among them.
Text = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
