"""Which library an exception class belongs to, by its module, or by its name alone.

The libraries are the rows of ``blame.toml``'s section ``library``; ``library_classes.json`` has the names of their
classes, since signals without a module show only a name.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

#: What oslo.messaging adds to class and module of an exception that crossed RPC.
REMOTE_SUFFIX: Final = "_Remote"
#: Module of Python 2's own exceptions.
_PYTHON_2: Final = "exceptions"

_OWNERS: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(owners)
    for name, owners in json.loads(
        (resources.files(__package__) / "library_classes.json").read_text(encoding="utf-8")
    ).items()
}


def package_of(module: str | None) -> str | None:
    """Return the top package of a module, with or without oslo.messaging's suffix ``_Remote``; None for no module."""
    if not module:
        return None
    package = module.partition(".")[0].removesuffix(REMOTE_SUFFIX)
    return builtins.__name__ if package == _PYTHON_2 else package


def owners_of(exception: str) -> tuple[str, ...]:
    """Return the libraries that define an exception class of this name."""
    return _OWNERS.get(exception, ())


def library_classes() -> Mapping[str, tuple[str, ...]]:
    """Return the shipped names of the libraries' classes: name -> libraries."""
    return _OWNERS


@lru_cache(maxsize=1024)
def is_python(exception: str) -> bool:
    """Return whether Python itself has an exception class of this name."""
    value = getattr(builtins, exception, None)
    return isinstance(value, type) and issubclass(value, BaseException)
