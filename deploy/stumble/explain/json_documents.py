"""Finds JSON documents in lines of text: one per line, at the end of a log line, or over several lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

#: Longest line and longest document, in characters; longer ones are reported as unreadable.
MAX_CHARACTERS: Final = 32 << 20
#: How many opening braces of a log line may precede its JSON object.
_MOST_BRACES: Final = 16
#: How often a document over several lines is parsed before its lines are read one by one.
_MOST_TRIES: Final = 200
#: With what a line inside a document over several lines begins; a log line begins with a time or a word.
_CONTINUATION: Final = frozenset((*" \t\r\n", '"', *"{}[]", ""))
#: Lines without content: empty ones, and the end of an array whose elements were read one by one.
_NOTHING: Final = frozenset({"", "]"})
_DECODER: Final = json.JSONDecoder()


class JsonDocument(NamedTuple):
    """A document, the line where it begins (from 1), and the text before it in that line.

    ``value`` is None if the line contains no object and no array; ``problem`` then says why.
    """

    line: int
    value: Any
    prefix: str = ""
    problem: str = ""


class _Parsed(NamedTuple):
    value: Any
    prefix: str = ""
    problem: str = ""
    #: Whether more lines may complete the document.
    is_open: bool = False


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream, of a line that is too long only the start: memory stays bounded."""
    size = MAX_CHARACTERS + 2  # with an end of line, and one more
    while line := stream.readline(size):
        yield line
        while len(line) == size and not line.endswith(b"\n"):
            line = stream.readline(size)


def read_documents(lines: Iterable[str | bytes]) -> Iterator[JsonDocument]:
    """Yield the documents in ``lines``, and one without a value for each line that contains none. Never raises."""
    open_lines = _OpenDocument()
    for number, raw in enumerate(lines, 1):
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        if open_lines:
            if text[:1] in _CONTINUATION and not _is_document(text):
                yield from open_lines.add(number, text)
                continue
            yield from open_lines.read_one_by_one()
        text = text.removeprefix("\ufeff")
        if text.strip() in _NOTHING:
            continue
        parsed = _parse(text)
        if parsed.is_open:
            open_lines.begin(number, text)
        else:
            yield JsonDocument(number, parsed.value, parsed.prefix, parsed.problem)
    yield from open_lines.read_one_by_one()


class _OpenDocument:
    """The lines of a document that is not complete."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, str]] = []
        self._size = self._tries = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def begin(self, number: int, text: str) -> None:
        """Start with the first line."""
        self._lines, self._size, self._tries = [(number, text)], len(text), 0

    def add(self, number: int, text: str) -> Iterator[JsonDocument]:
        """Add a line; yield the document if it is complete, its lines one by one if it cannot become complete."""
        self._lines.append((number, text))
        self._size += len(text)
        if self._size > MAX_CHARACTERS:
            yield from self.read_one_by_one()
        elif text[:1] in {"}", "]"}:
            self._tries += 1
            parsed = _parse("".join(line for _, line in self._lines))
            if not parsed.is_open and parsed.value is not None:
                yield JsonDocument(self._lines[0][0], parsed.value)
                self._lines = []
            elif not parsed.is_open or self._tries > _MOST_TRIES:
                yield from self.read_one_by_one()

    def read_one_by_one(self) -> Iterator[JsonDocument]:
        """Yield the documents that single lines contain, as in an array with an element per line; else one problem."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        elements = [(number, line.strip().rstrip(",")) for number, line in lines]
        rows = [(number, _parse(element)) for number, element in elements if _is_document(element)]
        if not rows:
            yield JsonDocument(lines[0][0], None, problem="a JSON document that is not complete")
        for number, parsed in rows:
            yield JsonDocument(number, parsed.value)


def _is_document(text: str) -> bool:
    """Return whether a line alone is an object with fields, as in a file of JSON lines."""
    if text[:1] != "{":
        return False
    parsed = _parse(text)
    return bool(parsed.value) and not parsed.prefix


def _parse(text: str) -> _Parsed:
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        return _Parsed(None, problem=f"longer than {MAX_CHARACTERS >> 20} million characters")
    if text[:1] in {"{", "["}:
        try:
            return _Parsed(json.loads(text))
        except json.JSONDecodeError as error:
            if error.pos >= len(text):
                return _Parsed(None, is_open=True)
        except (ValueError, RecursionError):  # a number of thousands of digits, thousands of nested arrays
            return _Parsed(None, problem="JSON that cannot be read")
    return _parse_log_line(text)


def _parse_log_line(text: str) -> _Parsed:
    """Return the object at the end of a log line, behind the text of the log's format."""
    at = text.find("{")
    for _ in range(_MOST_BRACES):
        if at < 0:
            break
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = 0
        if end == len(text):
            return _Parsed(value, text[:at])
        at = text.find("{", at + 1)
    return _Parsed(None, problem="no JSON")
