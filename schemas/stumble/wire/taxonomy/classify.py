"""Maps an exception class to code, blame and reason.

The classes and codes are Nova's own (``nova_classes.json``, generated from an installed Nova); the blame comes from
``blame.toml``, since HTTP-like codes do not show it: FlavorDiskTooSmall is 500 and PortBindingFailed 400.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from stumble.wire.taxonomy.kinds import OWN, WRAPPERS

_REMOTE_SUFFIX = "_Remote"
_REMOTE_ERROR = re.compile(r"^Remote error: (\w+)")


class Classification(NamedTuple):
    """Classification of an exception class. ``code`` is HTTP-like, None if Nova has no such class."""

    code: int | None
    code_source: str
    blame: str
    retryable: bool | None
    is_nova: bool


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


_CLASSES: dict[str, tuple[str, int]] = {
    name: (row[0], row[1]) for name, row in json.loads(_read("nova_classes.json")).items()
}
_RULES: dict[str, dict[str, dict[str, Any]]] = tomllib.loads(_read("blame.toml"))
_UNKNOWN: dict[str, Any] = {"blame": "UNKNOWN"}


def is_nova(exception: str) -> bool:
    """Return whether a class is one of Nova's own exceptions."""
    return exception in _CLASSES or exception == "NovaException"


def is_unknown(exception: str) -> bool:
    """Return whether the taxonomy lacks a class: one of a newer Nova, or of a library."""
    name = strip_remote(exception)
    return name not in OWN and not is_nova(name) and name not in _RULES["foreign"]


def strip_remote(exception: str) -> str:
    """Return a class name without the suffix that oslo.messaging adds when an exception crosses RPC."""
    return exception.removesuffix(_REMOTE_SUFFIX)


def remote_class(message: str | None) -> str | None:
    """Return the class in a RemoteError's message ("Remote error: Class ..."), or None."""
    match = _REMOTE_ERROR.match(message or "")
    return strip_remote(match[1]) if match else None


def known_classes() -> Mapping[str, tuple[str, int]]:
    """Return Nova's classes in the shipped taxonomy: name -> (base, code)."""
    return _CLASSES


def blame_of(exception: str, classes: Mapping[str, tuple[str, int]]) -> str:
    """Return the blame that the rules assign to a class; ``classes`` replaces the shipped classes."""
    return str(_rule(exception, classes)["blame"])


def _ancestors(exception: str, classes: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    while exception in classes:
        yield exception
        exception = classes[exception][0]
    yield exception


def _rule(exception: str, classes: Mapping[str, tuple[str, int]] = _CLASSES) -> dict[str, Any]:
    if exception not in classes and not is_nova(exception):
        return _RULES["foreign"].get(exception, _UNKNOWN)
    if exception in _RULES["class"]:
        return _RULES["class"][exception]
    for ancestor in _ancestors(exception, classes):
        if ancestor in _RULES["base"]:
            return _RULES["base"][ancestor]
        if ancestor in _RULES["class"]:
            return _RULES["class"][ancestor]
    return _UNKNOWN


@lru_cache(maxsize=4096)
def classify(exception: str) -> Classification:
    """Classify an exception by its class name, with or without ``_Remote``; an unknown class has blame UNKNOWN."""
    name = strip_remote(exception)
    rule = _rule(name)
    known = _CLASSES.get(name)
    return Classification(
        code=known[1] if known else None,
        code_source="TAXONOMY" if known else "UNKNOWN",
        blame=rule["blame"],
        retryable=rule.get("retryable"),
        is_nova=is_nova(name),
    )


def safe_reason(exception: str, message: str | None) -> str:
    """Return the text that the project's users may see, by Nova's own rule (CVE-2019-14433).

    For an exception that is not Nova's, only the class name; also for a wrapper, whose text may come from such a one.
    """
    name = strip_remote(exception)
    if not is_nova(name) or name in WRAPPERS or not message:
        return name
    return message
