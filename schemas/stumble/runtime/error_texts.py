"""One sentence for an exception: the text of stumble's own exceptions, a mapped text for those of libraries."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from stumble.wire.errors import StumbleError
from stumble.wire.masking import mask_secrets

__all__ = ["connection_reason", "explain_error", "first_mistake", "install_hint", "sentence_about"]

_NO_ANSWER = re.compile(
    r"Disconnected(: connection closed by peer.*)?|Connection setup timed out.*"
    r"|(Connect to \S+|Receive|Send) failed: (Connection refused|Connection reset by peer|Broken pipe)"
)
#: Text by class name of the exception or of a base class; names, so that no library is imported for its errors.
_KNOWN = {
    "psycopg.OperationalError": "the database cannot be reached ({}); check STUMBLE_DATABASE_URL",
    "psycopg_pool.PoolTimeout": "the database cannot be reached ({}); check STUMBLE_DATABASE_URL",
    "psycopg.errors.UndefinedTable": "the database is not migrated ({}); run: stumble store migrate",
    "psycopg.errors.InvalidSchemaName": "the database is not migrated ({}); run: stumble store migrate",
    "httpx.ConnectError": "the API cannot be reached ({}); start it with `stumble api` or name it with --api",
    "httpx.TimeoutException": "the API did not answer in time ({}); try again or name another with --api",
    "cimpl.KafkaException": "Kafka cannot be used ({}); run `stumble check brokers` for the cause",
    "pydantic_core._pydantic_core.ValidationError": "a setting is wrong: {}",
    "builtins.PermissionError": "not allowed: {}",
    "builtins.OSError": "{}",
}


def explain_error(error: BaseException) -> str:
    """Return one sentence, with secrets masked, that says what happened and, if known, what to do."""
    if isinstance(error, StumbleError):
        return str(error)
    for kind in type(error).__mro__:
        sentence = _KNOWN.get(f"{kind.__module__}.{kind.__qualname__}")
        if sentence:
            return mask_secrets(sentence.format(_short(error)))
    return mask_secrets(f"unexpected {type(error).__name__}: {_short(error)} (STUMBLE_DEBUG=1 shows where)")


def connection_reason(text: str) -> str:
    """Return the reason in librdkafka's text about a connection, without the broker's name, times and counts.

    Empty if the text says only that nothing answers. The broker's name comes first (``host:port/bootstrap: `` or
    ``GroupCoordinator: host:port: ``); the end tells how long and how often it was tried.
    """
    reason = re.sub(r"^(\S+/(bootstrap|\d+)|GroupCoordinator: \S+): ", "", " ".join(text.split()))
    reason = re.sub(r" ?\(after \d.*\)$", "", reason).rstrip(". ")
    reason = reason.removeprefix("SSL handshake failed: ")  # the client gives one fault with and without these words
    return "" if _NO_ANSWER.fullmatch(reason) else mask_secrets(reason)


def first_mistake(error: Any, known: Iterable[str] = ()) -> tuple[str, str]:
    """Return the first mistake of a pydantic `ValidationError`: the dotted path of its field, and why, as a clause.

    `known`: valid field names, from which one is suggested for an unknown field. The result does not contain the
    value: it may be a secret.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    reason = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path, list(known), 1)
        reason = "there is no such setting" + (f", did you mean {close[0]}?" if close else "")
    return path, reason


def install_hint(extra: str) -> str:
    """Return what to do where the libraries of an extra are missing, in the imperative and without a full stop."""
    return f"install what {extra}.txt names, a file beside stumble's wheel: pip install -r {extra}.txt"


def sentence_about(subject: str, reason: str) -> str:
    """Return the sentence for a wrong setting or argument."""
    return f"{subject} is wrong: {reason}" + ("" if reason.endswith("?") else ".")


def _short(error: BaseException) -> str:
    """Return the error's text as one line of at most 300 characters."""
    errors = getattr(error, "errors", None)
    if callable(errors) and type(error).__name__ == "ValidationError":
        return "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in errors())
    inner: Any = error.args[0] if error.args else None
    # str() of a KafkaError is its repr; its method `str` returns the message.
    raw = inner.str() if type(inner).__name__ == "KafkaError" else str(error)
    text = " ".join(str(raw).split())
    return text if len(text) <= 300 else text[:299] + "…"
