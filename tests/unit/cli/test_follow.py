"""`stumble failures --follow`: one line per failure in tables, one line per revision in JSON."""

from __future__ import annotations

import json

import pytest

from stumble.cli.ask import OutputFormat
from stumble.cli.failures import _Printer

RECORD = {
    "failure_id": "f-1",
    "occurred_at": "2026-01-01T00:00:00.000000+00:00",
    "action": "resize",
    "display_name": None,
    "instance_uuid": "i-1",
    "host": "compute-1",
    "exception": "NoValidHost",
    "reason": "No valid host was found.",
    "blame": "CAPACITY",
    "request_id": "req-1",
    "effect": "UNKNOWN",
}


def message(revision: int, status: str = "CURRENT", **changes: object) -> dict:
    return {
        "subject_id": "f-1",
        "revision": revision,
        "correction": revision > 1,
        "status": status,
        "record": {**RECORD, **changes},
    }


def printed_lines(
    capsys: pytest.CaptureFixture[str], *messages: dict, format_: OutputFormat = OutputFormat.TABLE
) -> list[str]:
    printer = _Printer(format_)
    for item in messages:
        printer.streamed(item)
    return capsys.readouterr().out.splitlines()


def test_revision_with_the_same_visible_fields_adds_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed_lines(capsys, message(1), message(2, effect="NONE"))) == 1


def test_revision_with_changed_visible_fields_is_marked_as_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed_lines(capsys, message(1), message(2, action="migrate"))
    assert len(lines) == 2
    assert lines[1].endswith("(corrected)")


def test_retracted_failure_is_marked_as_retracted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed_lines(capsys, message(1), message(2, status="RETRACTED"))
    assert lines[1].endswith("(retracted: no longer counted)")


def test_repeated_revision_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed_lines(capsys, message(1), message(1, action="migrate"))) == 1


def test_json_output_has_every_revision(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed_lines(capsys, message(1), message(2, effect="NONE"), format_=OutputFormat.JSON)
    assert [json.loads(line)["revision"] for line in lines] == [1, 2]
