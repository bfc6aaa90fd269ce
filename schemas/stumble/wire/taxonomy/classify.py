"""Maps an exception class to code, blame and reason.

A class is its name *and* its module: Nova, the clients of other services and the storage libraries use the same names
for different things (``NotFound``, ``ServiceUnavailable``). A name alone counts as Nova's only if no library has it.
Nova's classes and codes are its own (``nova_classes.json``); the blame comes from ``blame.toml``, since HTTP-like codes
do not show it: FlavorDiskTooSmall is 500 and PortBindingFailed 400.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple

from stumble.wire.taxonomy.kinds import OWN, SHOWN_WRAPPERS, WRAPPERS
from stumble.wire.taxonomy.libraries import REMOTE_SUFFIX, is_python, owners_of, package_of

NOVA: Final = "nova"
_REMOTE_ERROR = re.compile(r"^Remote error: (\w+)")
_ROOT = "NovaException"


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


def is_nova(exception: str, module: str | None = None) -> bool:
    """Return whether a class is one of Nova's own exceptions; without a module, not if a library has the name, too."""
    if exception not in _CLASSES and exception != _ROOT:
        return False
    return package_of(module) == NOVA if module else not owners_of(exception)


def is_unknown(exception: str) -> bool:
    """Return whether the taxonomy lacks a class: one of a newer Nova, or of a library."""
    name = strip_remote(exception)
    known = name in OWN or name in _CLASSES or name == _ROOT or name in _RULES["foreign"]
    return not known and not owners_of(name)


def module_of_class(exception: str, frame: str | None) -> str | None:
    """Return the module of a class, or its top package, as far as the module of the raising *frame* shows it.

    A library raises its own classes or Python's, and an exception of Nova that passes through a library (RPC, threads)
    is still Nova's. So the frame decides about a name that Nova and a library share.
    """
    package = package_of(frame)
    if package is None or package == NOVA:
        return package
    name = strip_remote(exception)
    if name != exception:  # oslo.messaging restores only classes of Nova and of Python
        return NOVA
    if is_python(name) and package not in owners_of(name):
        return "builtins"
    if is_nova(name):
        return NOVA
    owners = owners_of(name)
    return frame if not owners or package in owners or len(owners) > 1 else owners[0]


def strip_remote(exception: str) -> str:
    """Return a class name without the suffix that oslo.messaging adds when an exception crosses RPC."""
    return exception.removesuffix(REMOTE_SUFFIX)


def remote_class(message: str | None) -> str | None:
    """Return the class in a RemoteError's message ("Remote error: Class ..."), or None."""
    match = _REMOTE_ERROR.match(message or "")
    return strip_remote(match[1]) if match else None


def known_classes() -> Mapping[str, tuple[str, int]]:
    """Return Nova's classes in the shipped taxonomy: name -> (base, code)."""
    return _CLASSES


def known_libraries() -> tuple[str, ...]:
    """Return the libraries that the rules name."""
    return tuple(_RULES["library"])


def blame_of(exception: str, classes: Mapping[str, tuple[str, int]]) -> str:
    """Return the blame that the rules assign to a class of Nova; ``classes`` replaces the shipped classes."""
    return str(_nova_rule(exception, classes)["blame"])


def _ancestors(exception: str, classes: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    while exception in classes:
        yield exception
        exception = classes[exception][0]
    yield exception


def _nova_rule(exception: str, classes: Mapping[str, tuple[str, int]] = _CLASSES) -> dict[str, Any]:
    if exception in _RULES["class"]:
        return _RULES["class"][exception]
    for ancestor in _ancestors(exception, classes):
        if ancestor in _RULES["base"]:
            return _RULES["base"][ancestor]
        if ancestor in _RULES["class"]:
            return _RULES["class"][ancestor]
    return _UNKNOWN


def _library_rule(exception: str, library: str) -> dict[str, Any]:
    rows = _RULES["foreign"]
    return rows.get(f"{library}.{exception}") or _RULES["library"][library]


def _foreign_rule(exception: str, module: str | None) -> dict[str, Any]:
    library = package_of(module)
    if library in _RULES["library"]:
        return _library_rule(exception, library)
    if exception in _RULES["foreign"]:
        return _RULES["foreign"][exception]
    if module is not None and library != NOVA:
        return _UNKNOWN
    return _common_rule(exception)


def _common_rule(exception: str) -> dict[str, Any]:
    """Return what is the same for all classes that a name alone can mean: those of libraries, and Nova's."""
    rows = [_library_rule(exception, library) for library in owners_of(exception)]
    if exception in _CLASSES:
        rows.append(_nova_rule(exception))
    if len({row["blame"] for row in rows}) != 1:
        return _UNKNOWN
    return {
        "blame": rows[0]["blame"],
        "retryable": rows[0].get("retryable") if len({row.get("retryable") for row in rows}) == 1 else None,
        "text": rows[0].get("text") if len({row.get("text") for row in rows}) == 1 else None,
    }


@lru_cache(maxsize=4096)
def classify(exception: str, module: str | None = None) -> Classification:
    """Classify an exception by class name, with or without ``_Remote``, and the module of the class where it is known.

    The code of a class that a library may have, too, is None; a class that no rule fits has blame UNKNOWN.
    """
    name = strip_remote(exception)
    own = is_nova(name, module)
    rule = _nova_rule(name) if own else _foreign_rule(name, module)
    known = _CLASSES.get(name) if own else None
    return Classification(
        code=known[1] if known else None,
        code_source="TAXONOMY" if known else "UNKNOWN",
        blame=rule["blame"],
        retryable=rule.get("retryable"),
        is_nova=own,
    )


@lru_cache(maxsize=4096)
def shows_text(exception: str, module: str | None = None) -> bool:
    """Return whether Nova shows the text of a class to its users, by its own rule (CVE-2019-14433).

    It shows what ``format_message`` returns, which Nova's classes have, and those of a few libraries; of any other
    class only the name. It does not show the text of a wrapper that it catches itself.
    """
    name = strip_remote(exception)
    if name in WRAPPERS and name not in SHOWN_WRAPPERS:
        return False
    if name in _CLASSES and (module is None or package_of(module) == NOVA):
        return is_nova(name, module)
    libraries = owners_of(name) if module is None else (package_of(module),)
    rows = [_RULES["library"].get(library or "", _UNKNOWN) for library in libraries]
    return bool(rows) and all(row.get("shown") for row in rows)


@lru_cache(maxsize=4096)
def describe_class(exception: str, blame: str) -> str:
    """Return a sentence for the project's users about a failure of which they may read only the class name.

    ``blame`` is that of the failure, which may rest on more than the class name.
    """
    text = None if is_nova(exception) else _foreign_rule(exception, None).get("text")
    return f"{exception}: {text or _TEXTS.get(blame, _TEXTS['UNKNOWN'])}; the operator can see why."


_TEXTS: Final[Mapping[str, str]] = {
    "DEPENDENCY": "a service that Nova needs refused a call or gave no answer",
    "OPERATOR": "the cloud could not do what it had accepted",
    "CAPACITY": "the cloud has no room for it at the moment",
    "USER": "the cloud does not offer what was asked for",
    "RACE": "another request came between",
    "UNKNOWN": "the cloud could not do what it had accepted",
}


def withheld_message(failure: Mapping[str, Any]) -> str | None:
    """Return the message of an event's ``failure`` if its reason does not show it; only operators may see it.

    A reason shows the message if one of them contains the other; a single word, such as a class name, does not count.
    """
    message, reason = failure["message"], failure["reason"] or ""
    if not message or message in reason or (" " in reason and reason in message):
        return None
    return str(message)
