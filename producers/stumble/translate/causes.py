"""Parses the causes of an exception from the text of its traceback.

A versioned notification names one class; its traceback contains the earlier exceptions, the innermost first,
separated by the sentences of Python's ``traceback`` module. Nova joins the parts from ``format_exception`` with commas
(``ExceptionPayload.from_exception``), so a line may begin with a comma.
"""

from __future__ import annotations

import re
from typing import Final

from stumble.wire.taxonomy import strip_remote

#: Deeper chains are cut.
_MAX_CHAIN: Final = 16

_START: Final = "Traceback (most recent call last):"
_BETWEEN: Final = re.compile(
    r"^,?(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):$",
    re.MULTILINE,
)
#: The line of the exception itself; it is not indented, unlike frames.
_RAISED: Final = re.compile(r"^,?((?:[A-Za-z_]\w{0,127}\.){0,16}[A-Za-z_]\w{0,254})(?::|$)", re.MULTILINE)


def causes_in(traceback: str | None, exception: str) -> tuple[str, ...]:
    """Return the classes that ``exception`` was raised from, outermost first, as far as its traceback shows.

    ``exception`` is the class name in the notification. A traceback that does not end in this class gives no causes.
    """
    if not traceback:
        return ()
    result = [_raised(part) for part in _BETWEEN.split(traceback)]
    outer = strip_remote(exception)
    if len(result) == 1 or result[-1] != outer:
        return ()
    inside = [name for name in result[-2::-1] if name is not None]
    return tuple(inside[:_MAX_CHAIN])


def _raised(part: str) -> str | None:
    """Return the exception class at the end of one part of a traceback, or None."""
    start = part.find(_START)
    match = _RAISED.search(part, start + len(_START)) if start >= 0 else None
    return None if match is None else strip_remote(match[1].rpartition(".")[2])
