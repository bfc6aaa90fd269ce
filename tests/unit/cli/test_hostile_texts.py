"""Texts that a cloud or a writer of a topic controls change nothing on the terminal that shows them."""

from __future__ import annotations

import json

import pytest

from stumble.cli import tables
from stumble.cli.reading import Read
from stumble.cli.tail import as_line
from stumble.wire.text import CONTROL_CHARACTERS

HOSTILE = "a\x1b]0;t\x07\x1b[31m\x9b31m\x85\u202egnp\u2066\u200f\u2028\ufeff\ud800\x7f\x00z"
RECORD = {
    "occurred_at": "2026-01-31T12:00:00.000000Z", "action": HOSTILE, "display_name": HOSTILE, "host": f"h\n{HOSTILE}",
    "exception": HOSTILE, "reason": f"b\n{HOSTILE}", "blame": "OPERATOR", "request_id": HOSTILE, "outcome": "FAILED",
}  # fmt: skip


@pytest.mark.parametrize("write", [tables.print_json, tables.print_line])
def test_json_has_no_control_characters_and_the_same_content(write, capsys) -> None:
    write({HOSTILE: [HOSTILE, "ü\n"]})
    text = capsys.readouterr().out
    assert not CONTROL_CHARACTERS.search(text)
    assert json.loads(text) == {HOSTILE: [HOSTILE, "ü\n"]}


@pytest.mark.parametrize("show", [tables.line, tables.verdict])
def test_record_in_a_line_is_one_line_without_control_characters(show) -> None:
    text = show(RECORD).plain
    assert "\n" not in text
    assert not CONTROL_CHARACTERS.search(text)


def test_headers_of_a_dead_letter_are_one_line_without_control_characters() -> None:
    headers = {
        f"__stumble.errors.{name}": f"{HOSTILE}\n" for name in ("topic", "partition", "offset", "exception.message")
    }
    line = as_line(Read(0, 1, 0, "", headers, None, None, b"")).plain
    assert "from a" in line
    assert "\n" not in line
    assert not CONTROL_CHARACTERS.search(line)
