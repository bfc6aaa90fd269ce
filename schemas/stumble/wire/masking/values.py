"""Where a secret value ends: in quotes, in brackets, at the end of a line, or at a delimiter.

Every search here is bounded or consumes what it has read, so that the time grows with the length of the text only.
Where the end is not certain, the longer span counts: text that is lost is less harm than a secret that is shown.
"""

from __future__ import annotations

import re
from typing import Final

#: Replaces a secret.
MASK: Final = "***"

Span = tuple[int, int]

#: A quote as written directly, escaped (JSON in JSON, a ``repr`` in a ``repr``), URL-encoded or in XML.
QUOTE: Final = r"""(?:\\*["']|%(?:25)?2[27]|&quot;|&apos;|&\#3[49];|\\*u002[27])"""

_OPEN = re.compile(rf"(?:[uUbBrRfF]{{1,2}}(?=\\*[\"']))?({QUOTE})")
#: What may follow a closing quote. A quote before anything else is part of the value.
_AFTER_QUOTE = re.compile(r"""[\s,;:)}\]>&|%<]|$|[/?]>|\.(?:\s|$)|\\+[nrt"']""")
_MAX_QUOTES = 32
_OPENING: Final = "([{"
_STARTS: Final = ("(", "[", "{")
_AFTER_BRACKET = re.compile(r"""[\s,;:.)}\]>&'"<\\]|$""")
_BRACKET = re.compile(r"[()\[\]{}]")
_MAX_BRACKETS = 64
#: A value without quotes. A delimiter belongs to the value unless what follows shows that the value ends there.
_BARE = re.compile(
    r"""(?:[^\s,;&)}\]<>'"\\]
        |[,;&](?!\s|$|[\w.-]{1,40}\s?[=:]|\\*['"]|\w{1,16};)
        |[)}\]](?![\s,;.:)}\]'"]|\\|$)
        |['"](?![\s,;:)}\]>&]|\.(?:\s|$)|\\[nrt]|$)
        |\\(?!['"])|\\+['"](?![\s,;:)}\]>&\\]|$)
        |<(?![/\w!?\s])|>(?![\s<]|$))+""",
    re.VERBOSE,
)
_CALL = re.compile(r"[A-Za-z_][\w.]{0,64}(?=\()")
_ENCODED = re.compile(r"(?:(?!%(?:25)?(?:2[267cC]|7[dD]))[^\s&'\"<>])+")
#: The rest of a line, as far as no further ``name=value`` or ``Name: value`` follows.
_LINE = re.compile(r"[^\s\\](?:[^\r\n\\\s]|\\(?![nr])|[ \t](?![\w.-]{2,40}(?:=|:\s)))*")
_BLOCK = re.compile(r"[|>][+-]?\d?[ \t]*\n[ \t]+([^\n]*(?:\n+[ \t]+[^\n]*)*)")


def find_value(text: str, start: int, *, whole_line: bool = False, encoded: bool = False) -> Span | None:
    """Return the span of the value that begins at ``start``, without its quotes, or None if there is none.

    ``whole_line``: a value without quotes may contain spaces; ``encoded``: it is part of a URL-encoded text.
    """
    opened = _OPEN.match(text, start)
    if opened:
        return _nonempty((opened.end(), _closing_quote(text, opened.end(), opened[1])))
    block = _BLOCK.match(text, start)
    if block:
        return _nonempty(block.span(1))
    structure = _structure(text, start)
    if structure and not whole_line:
        return structure
    value = (_ENCODED if encoded else _LINE if whole_line else _BARE).match(text, start)
    if structure:
        return start, max(structure[1], value.end() if value else 0)
    return value.span() if value else None


def _structure(text: str, start: int) -> Span | None:
    """Return the span of a list, a mapping or a call at ``start``, or None if other characters follow its end."""
    call = _CALL.match(text, start)
    inside = bracketed(text, call.end() if call else start) if text[start : start + 1] in _STARTS or call else None
    if inside is None or not _AFTER_BRACKET.match(text, inside[1] + 1):
        return None
    return (start if call else inside[0]), inside[1]


def is_quoted(text: str, start: int) -> bool:
    """Return whether a value begins with a quote."""
    return _OPEN.match(text, start) is not None


def bracketed(text: str, start: int) -> Span | None:
    """Return the span inside the brackets that open at ``start``, or None if it is empty.

    Brackets that do not close, or contain too many others, reach to the end of the text.
    """
    depth = 0
    for number, match in enumerate(_BRACKET.finditer(text, start)):
        depth += 1 if match[0] in _OPENING else -1
        if depth == 0:
            return _nonempty((start + 1, match.start()))
        if number == _MAX_BRACKETS:
            break
    return _nonempty((start + 1, len(text)))


def end_of_line(text: str, start: int, limit: int | None = None) -> int:
    """Return the position of the line's end, at most ``limit``."""
    end = text.find("\n", start, limit)
    return min(len(text), len(text) if limit is None else limit) if end < 0 else end


def _nonempty(span: Span) -> Span | None:
    return span if span[0] < span[1] else None


def _closing_quote(text: str, start: int, quote: str) -> int:
    position = start
    for _ in range(_MAX_QUOTES):
        position = text.find(quote, position)
        if position < 0:
            break
        after = position + len(quote)
        if not _is_escaped(text, start, position, quote) and _AFTER_QUOTE.match(text, after):
            return position
        position = after
    return end_of_line(text, start)


def _is_escaped(text: str, start: int, position: int, quote: str) -> bool:
    """Return whether backslashes before a quote make it part of the value."""
    before = text[max(start, position - 64) : position]
    count = len(before) - len(before.rstrip("\\"))
    return count > 0 if quote[0] == "\\" else count % 2 == 1
