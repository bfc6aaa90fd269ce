"""`tracebacks=False`: no traceback leaves the process, not even inside a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stumble.emitter import describe_failure
from stumble.emitter.tracebacks import without_traceback
from tests.unit.emitter.test_emitter import SERVER, emitter, events

TRACE = "Traceback (most recent call last):\n  File 'x', line 1\nValueError: x"


def failing() -> dict[str, Any]:
    try:
        raise ValueError("no disk")  # noqa: TRY301
    except ValueError as error:
        return describe_failure(error)


@pytest.mark.parametrize("enabled", [True, False])
def test_traceback_is_removed_only_when_switched_off(enabled: bool, tmp_path: Path) -> None:
    given: dict[str, Any] = {"instance_uuid": SERVER, "phase": "ERROR", "failure": failing()}
    assert emitter(tmp_path, tracebacks=enabled).emit(given)
    (event,) = events(tmp_path)
    assert (event["failure"]["traceback"] is not None) == enabled
    assert (event["failure"]["exception"], event["failure"]["message"]) == ("ValueError", "no disk")
    assert given["failure"]["traceback"]  # the caller's event is unchanged


@pytest.mark.parametrize(
    ("message", "remaining"),
    [
        ("no disk", "no disk"),
        (None, None),
        (f"no disk\n{TRACE}", "no disk"),
        (f"Remote error: ValueError no disk\n['{TRACE}', '']", "Remote error: ValueError no disk"),
        (f"Remote error: ValueError no disk\n[u'{TRACE}']", "Remote error: ValueError no disk"),
        (TRACE, None),
    ],
)
def test_text_is_cut_where_a_traceback_begins(message: str | None, remaining: str | None) -> None:
    cleaned = without_traceback({"message": message, "reason": message, "traceback": TRACE, "chain": ["OSError"]})
    assert cleaned == {"message": remaining, "reason": remaining, "traceback": None, "chain": ["OSError"]}
