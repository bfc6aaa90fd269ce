"""Parses an exception and its causes from the text of a traceback.

A versioned notification names one class, without its module; its traceback ends with the qualified name, and contains
the earlier exceptions, the innermost first, separated by the sentences of Python's ``traceback`` module. Nova joins the
parts from ``format_exception`` with commas (``ExceptionPayload.from_exception``), so a line may begin with a comma.
"""

from __future__ import annotations

import re
from typing import Final

from stumble.translate.exceptions import ParsedException, parse_exception
from stumble.wire.taxonomy import is_python, strip_remote

#: Deeper chains are cut.
_MAX_CHAIN: Final = 16

_START: Final = "Traceback (most recent call last):"
_BETWEEN: Final = re.compile(
    r"^,?(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):$",
    re.MULTILINE,
)
#: The line of the exception itself; it is not indented, unlike frames.
_RAISED: Final = re.compile(
    r"^,?(?P<module>(?:[A-Za-z_]\w{0,127}\.){0,16})(?P<name>[A-Za-z_]\w{0,254})(?:: ?|$)", re.MULTILINE
)
_PYTHON: Final = "builtins"


def raised_in(traceback: str | None, exception: str) -> tuple[ParsedException, ...]:
    """Return ``exception`` and those that it was raised from, outermost first, as far as its traceback shows them.

    ``exception`` is the class name in the notification. A traceback that does not end in this class gives nothing.
    """
    if not traceback:
        return ()
    *inner, last = _BETWEEN.split(traceback)
    match = _raised(last)
    if match is None or strip_remote(match["name"]) != strip_remote(exception):
        return ()
    causes = [_raised(part) for part in reversed(inner[-_MAX_CHAIN:])]
    return tuple(_parse(line) for line in (match, *causes) if line is not None)


def _raised(part: str) -> re.Match[str] | None:
    """Return the line of the exception at the end of one part of a traceback, or None."""
    start = part.find(_START)
    return _RAISED.search(part, start + len(_START)) if start >= 0 else None


def _parse(raised: re.Match[str]) -> ParsedException:
    name = raised["name"]
    module = raised["module"].rstrip(".") or (_PYTHON if is_python(name) else None)
    text = raised.string[raised.end() :].strip().removesuffix("\n,")
    return parse_exception(name, text or None, module)
