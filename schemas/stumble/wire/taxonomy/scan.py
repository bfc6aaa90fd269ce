"""Finds exception classes in the source files of an installed Nova and of its libraries, without importing them.

A hypervisor driver whose libraries are missing cannot be imported, but its source can be parsed.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from stumble.wire.errors import StumbleError

ROOT_CLASS = "NovaException"
#: Code of NovaException itself (nova/exception.py).
_DEFAULT_CODE = 500
_LEFT_OUT = ("tests", "test")
_PYTHON = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException) and not issubclass(value, Warning)
)


class NoNovaError(StumbleError):
    """The given folder does not contain Nova."""


class ScannedClass(NamedTuple):
    """One class: the name of its base, and its HTTP-like code, None if it inherits the code."""

    base: str
    code: int | None


def nova_package(folder: Path) -> Path:
    """Return the package ``nova`` of a virtual environment, or ``folder`` itself. Raises ``NoNovaError``."""
    for candidate in (folder, *sorted(folder.glob("lib/python3*/site-packages/nova"))):
        if (candidate / "exception.py").is_file():
            return candidate
    raise NoNovaError(f"{folder} does not contain Nova: name a virtual environment with Nova, or its package folder.")


def scan_classes(package: Path) -> dict[str, tuple[str, int]]:
    """Return all subclasses of NovaException, sorted by name: name -> (base, code).

    If two modules use the same name, the class in nova/exception.py counts.
    """
    result: dict[str, ScannedClass] = {}
    for path in sorted(package.rglob("*.py"), key=lambda path: path != package / "exception.py"):
        if path.relative_to(package).parts[0] not in _LEFT_OUT:
            for name, item in _definitions(path):
                result.setdefault(name, item)
    return {name: (result[name].base, _code(name, result)) for name in sorted(result) if _is_nova(name, result)}


def scan_libraries(site_packages: Path, libraries: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the exception classes of the given libraries in a folder: name -> libraries that define it, sorted.

    A class is an exception if it derives from one of Python's own or from another that does, in any of the libraries.
    """
    bases: dict[str, set[str]] = {}
    owners: dict[str, set[str]] = {}
    for library in libraries:
        for path in _modules_of(site_packages / library):
            for name, item in _all_bases(path):
                bases.setdefault(name, set()).update(item)
                owners.setdefault(name, set()).add(library)
    exceptions = set(_PYTHON)
    while more := {name for name, parents in bases.items() if name not in exceptions and parents & exceptions}:
        exceptions |= more
    return {name: tuple(sorted(owners[name])) for name in sorted(owners) if bases[name] & exceptions}


def _modules_of(package: Path) -> Iterator[Path]:
    for path in (package.with_suffix(".py"), *sorted(package.rglob("*.py"))):
        if path.is_file() and not set(_LEFT_OUT) & set(path.relative_to(package.parent).parts):
            yield path


def _all_bases(path: Path) -> Iterator[tuple[str, set[str]]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            yield node.name, {_name_of(base) for base in node.bases}


def _definitions(path: Path) -> Iterator[tuple[str, ScannedClass]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.bases:
            yield node.name, ScannedClass(_name_of(node.bases[0]), _own_code(node))


def _name_of(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def _own_code(node: ast.ClassDef) -> int | None:
    for item in node.body:
        match item:
            case ast.Assign([ast.Name("code")], ast.Constant(int(code))):
                return code
    return None


def _chain(name: str, result: Mapping[str, ScannedClass]) -> Iterator[str]:
    seen: set[str] = set()
    while name in result and name not in seen:
        seen.add(name)
        yield name
        name = result[name].base
    yield name


def _is_nova(name: str, result: Mapping[str, ScannedClass]) -> bool:
    return name != ROOT_CLASS and ROOT_CLASS in _chain(name, result)


def _code(name: str, result: Mapping[str, ScannedClass]) -> int:
    for ancestor in _chain(name, result):
        if ancestor in result and (code := result[ancestor].code) is not None:
            return code
    return _DEFAULT_CODE
