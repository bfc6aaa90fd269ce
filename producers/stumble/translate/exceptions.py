"""Parses exceptions that are only available as text: from RPC, or a ``repr`` in a legacy notification."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from stumble.translate import fields
from stumble.wire.taxonomy import NOVA, is_python, strip_remote

#: A string literal; Python 2 wrote a ``u`` before most of them.
_LITERAL = r"""(?:u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")"""
_MESSAGE = "'message': "
_MAX_TRIES = 64
#: Attributes that a few classes have between message and class: texts, numbers, flat lists.
_MORE = rf"(?:, '\w{{1,64}}': (?:\[[^\[\]{{}}]{{0,2000}}\]|[^'\"\[\]{{}},]{{1,200}}|{_LITERAL})){{0,8}}?"
_TAIL = re.compile(rf"{_MESSAGE}({_LITERAL}){_MORE}, 'class': u?'(\w{{1,255}})'")
_CLASS = re.compile(r"'class': u?'(\w{1,255})'")
_CODE = re.compile(r"'code': (\d{3})L?\b")
_INNER = re.compile(r"'inner_exception': (?:<class ')?(\w{1,255})\(")
_CALL = re.compile(r"([A-Za-z_][\w.]{0,255})\((.*)\)", re.DOTALL)
_REMOTE_ERROR = re.compile(r"Remote error: ([A-Za-z_]\w{0,254}) ?")
_TRACEBACK = "\nTraceback (most recent call last):"
_REMOTE_LIST = re.compile(r"\n\[u?['\"]")


class UserText(NamedTuple):
    """What a source says that Nova shows to its users of an exception: ``text``, or None for only the class name."""

    text: str | None


class ParsedException(NamedTuple):
    """An exception as a source shows it.

    ``chain`` are the inner classes, ``traceback`` the traceback in the text, ``module`` the module of the class or its
    top package, ``remote`` whether it crossed RPC, ``shown`` Nova's own text for users where the source has it.
    """

    exception: str | None
    message: str | None
    chain: tuple[str, ...] = ()
    code: int | None = None
    traceback: str | None = None
    module: str | None = None
    remote: bool = False
    shown: UserText | None = None


def parse_exception(exception: str | None, message: str | None, module: str | None = None) -> ParsedException:
    """Return the exception of a class name and a message, without what RPC adds to them.

    A class of Nova that crossed RPC ends in ``_Remote`` (also its module) and its text contains the remote traceback.
    RPC restores only these (nova/rpc.py, ALLOWED_EXMODS) and Python's own, which keep their name; the text of a
    RemoteError contains any other (oslo.messaging's ``deserialize_remote_exception`` and ``RemoteError``).
    """
    if not exception:
        return ParsedException(None, message)
    qualifier, _, raw_class = exception.rpartition(".")
    name = strip_remote(raw_class)
    module = strip_remote(module or qualifier) or None
    if name == "RemoteError" and message and (match := _REMOTE_ERROR.match(message)):
        return _inside_remote_error(match, message)
    remote = name != raw_class
    if not message or not (remote or is_python(name)):
        return ParsedException(name, message, module=module or (NOVA if remote else None), remote=remote)
    text, traceback = _split_traceback(message)
    if remote:
        return ParsedException(name, text or None, traceback=traceback, module=module or NOVA, remote=True)
    if traceback is None or f"\n{name}" not in traceback:
        return ParsedException(name, message, module=module)
    return ParsedException(name, text or None, traceback=traceback, module=module, remote=True)


def _inside_remote_error(match: re.Match[str], message: str) -> ParsedException:
    name = strip_remote(match[1])
    text, traceback = _split_traceback(message[match.end() :])
    raised = re.findall(rf"""['"\n]((?:[A-Za-z_]\w{{0,127}}\.){{1,16}}){name}\b""", traceback or "")
    module = raised[-1].rstrip(".") if raised else None
    return ParsedException(name, text or None, traceback=traceback, module=module, remote=True)


def without_remote_text(text: str) -> str:
    """Return a text without what follows a remote class that it quotes (`Remote error: Class`), and without traceback.

    Nova quotes what another host raised, with its text and its traceback, in texts of its own.
    """
    match = _REMOTE_ERROR.search(text)
    return text[: match.end(1)] if match else _split_traceback(text)[0]


def _split_traceback(message: str) -> tuple[str, str | None]:
    at = message.find(_TRACEBACK)
    if at < 0:
        match = _REMOTE_LIST.search(message)
        at = match.start() if match else -1
    if at < 0:
        return message, None
    return message[:at], message[at + 1 :]


def from_legacy(value: Any) -> ParsedException | None:
    """Return the exception in a legacy payload: a ``repr`` or a dict.

    Nova's own classes have a ``repr`` that looks like a dict (``NovaException.__repr__``); that of any other class is a
    call. Only single string literals are evaluated.
    """
    if isinstance(value, Mapping):
        return _from_mapping(value)
    result = fields.text(value)
    if result is None:
        return None
    if result.startswith("{"):
        return _from_nova_repr(result)
    return _from_call(result) or ParsedException(None, result)


def _from_mapping(value: Mapping[str, Any]) -> ParsedException | None:
    if not value:
        return None
    result = parse_exception(fields.text(value.get("class")), fields.text(value.get("message")), NOVA)
    return result._replace(code=fields.integer(fields.mapping(value.get("kwargs")).get("code")))


def _from_nova_repr(value: str) -> ParsedException:
    """Parse ``{'kwargs': {…}, 'message': '…', 'class': '…'}``."""
    message, name = None, None
    results = _tail(value)
    if results is not None:
        message, name = _literal(results[1]), results[2]
    else:
        names = _CLASS.findall(value)
        name = names[-1] if names else None
    code, inner = _CODE.search(value), _INNER.search(value)
    result = parse_exception(name, message, NOVA)
    return result._replace(
        code=int(code[1]) if code else None,
        chain=(strip_remote(inner[1]),) if inner else (),
    )


def _tail(value: str) -> re.Match[str] | None:
    """Return message and class at the end; of several matches the outermost, since a message can contain this form."""
    first, at = None, -1
    for _ in range(_MAX_TRIES):
        at = value.find(_MESSAGE, at + 1)
        if at < 0:
            break
        match = _TAIL.match(value, at)
        if match is not None:
            if value[match.end() :] == "}":
                return match
            first = first or match
    return first


def _from_call(value: str) -> ParsedException | None:
    match = _CALL.fullmatch(value)
    if match is None:
        return None
    inside = match[2]
    return parse_exception(match[1], _literal(inside) or inside or None)


def _literal(value: str) -> str | None:
    """Return the text of one string literal (with or without the comma of a one-tuple), None for anything else."""
    trimmed = value.rstrip(", ")
    if not re.fullmatch(_LITERAL, trimmed, re.DOTALL):
        return None
    try:
        result = ast.literal_eval(trimmed)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return result if isinstance(result, str) else None
