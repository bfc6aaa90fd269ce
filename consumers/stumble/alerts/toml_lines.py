"""Line numbers of the keys in a rules file, which TOML's parser does not give."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[(\[?)\s*([\w.\s\"'-]+?)\s*\]")
_KEY = re.compile(r"\s*([\w\"'-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=")


class TomlLines:
    """The lines (from 1) of all rules, sections and keys of a text; values over several lines are ignored."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[int | None, tuple[str, ...]], int] = {}
        number: int | None = None
        section: tuple[str, ...] = ()
        for line, content in enumerate(text.splitlines(), start=1):
            if header := _HEADER.match(content):
                names = _names(header[2])
                if header[1] and names == ("rule",):
                    number = 0 if number is None else number + 1
                section = names[1:] if names[0] == "rule" else names
                self._lines.setdefault((number if names[0] == "rule" else None, section), line)
            elif key := _KEY.match(content):
                self._lines.setdefault((number, (*section, *_names(key[1]))), line)

    def line(self, number: int | None, path: tuple[str, ...]) -> int:
        """Return the line of a key of the rule `number` (from 0; None: of the file), else of what contains it."""
        for length in range(len(path), -1, -1):
            if result := self._lines.get((number, path[:length])):
                return result
        return 1


def _names(dotted: str) -> tuple[str, ...]:
    return tuple(name.strip().strip("\"'") for name in dotted.split("."))
