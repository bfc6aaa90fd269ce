"""Cleaning of input text: replaces what PostgreSQL or UTF-8 cannot store, cuts and marks what is too long."""

from __future__ import annotations

import re

_CUT = "…[cut]"
_CUT_BYTES = len(_CUT.encode())
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


#: What a terminal acts upon (C0 and C1 without tab and line feed), what changes order or place of the text around it
#: (Unicode TR 9 and 36), and lone surrogates.
CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable_text(text: str) -> str:
    """Replace characters with which a text could control the terminal that shows it."""
    return CONTROL_CHARACTERS.sub(_REPLACEMENT, text)


def clean_text(text: str) -> str:
    """Replace NUL, which PostgreSQL cannot store, and lone surrogates, which UTF-8 cannot encode."""
    if text.isascii():
        return text.replace("\x00", _REPLACEMENT) if "\x00" in text else text
    fixed = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return fixed.replace("\x00", _REPLACEMENT)


def shorten_text(text: str, max_bytes: int) -> str:
    """Remove the middle of ``text`` so that it has at most ``max_bytes`` of UTF-8, and mark the cut.

    Both ends stay, because a message is most specific at its start and a traceback at its end. A short limit belongs to
    an id or a name: then only the start stays, without a mark, which would need most of the limit.
    """
    if len(text) * 4 <= max_bytes or len(raw := text.encode()) <= max_bytes:
        return text
    if max_bytes < _CUT_BYTES * 8:
        return raw[:max_bytes].decode("utf-8", "ignore")
    half = (max_bytes - _CUT_BYTES) // 2
    return raw[:half].decode("utf-8", "ignore") + _CUT + raw[-half:].decode("utf-8", "ignore")


def one_line(text: str | None, most: int) -> str:
    """Return a text in one line of at most ``most`` characters; a cut is marked with an ellipsis."""
    line = " ".join((text or "").split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
