"""JSON documents in lines: JSON lines, log lines, documents over several lines, and what is none of them."""

from __future__ import annotations

import io
import json

import pytest

from stumble.explain import json_documents
from stumble.explain.json_documents import bounded_lines, read_documents

PRETTY = json.dumps({"a": {"b": [1, {}]}}, indent=2).splitlines(keepends=True)


def values(*lines: str | bytes) -> list[object]:
    return [one.value for one in read_documents(lines)]


def test_each_line_is_a_document() -> None:
    assert values('{"a": 1}\n', "\n", b'{"a": 2}\n') == [{"a": 1}, {"a": 2}]


def test_document_of_several_lines_is_one() -> None:
    documents = list(read_documents(['{"x": 1}\n', *PRETTY, '{"x": 2}\n', *PRETTY]))
    assert [one.value for one in documents] == [{"x": 1}, {"a": {"b": [1, {}]}}, {"x": 2}, {"a": {"b": [1, {}]}}]
    assert [one.line for one in documents] == [1, 2, 2 + len(PRETTY), 3 + len(PRETTY)]


def test_log_line_gives_its_object_and_the_text_before_it() -> None:
    (document,) = read_documents(['2026-05-01 INFO {x [-] {"a": {"b": 1}}\n'])
    assert (document.value, document.prefix) == ({"a": {"b": 1}}, "2026-05-01 INFO {x [-] ")


@pytest.mark.parametrize(
    ("lines", "good"),
    [
        (['{"a": 1,\n', '{"b": 2}\n'], [{"b": 2}]),
        (['{"a": [\n', '2026-05-01 INFO [-] {"b": 2}\n'], [{"b": 2}]),
        ([*PRETTY[:-1], '{"b": 2}\n'], [{"b": 2}]),
        (["[\n", '{"b": 1},\n', '{"b": 2}\n', "]\n"], [{"b": 1}, {"b": 2}]),
        ([*PRETTY[:-1]], []),
    ],
)  # fmt: skip
def test_incomplete_document_costs_no_other(lines: list[str], good: list[object]) -> None:
    assert [value for value in values(*lines) if value is not None] == good


@pytest.mark.parametrize("line", ["no json", "{", "[1, 2", '{"a": "', "\x00\x01", b"\xff\xfe{", "[" * 9000, "9" * 9000])
def test_line_without_a_document_is_one_problem(line: str | bytes) -> None:
    (document,) = read_documents([line])
    assert document.value is None
    assert document.problem


def test_too_long_line_is_read_in_part_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_documents, "MAX_CHARACTERS", 100)
    stream = io.BytesIO(b'{"a": "' + b"x" * 1000 + b'"}\n{"b": 2}\n')
    documents = list(read_documents(bounded_lines(stream)))
    assert [(one.line, one.value) for one in documents] == [(1, None), (2, {"b": 2})]
    assert documents[0].problem.startswith("longer than")
