"""List early returns and swallowed exceptions in Nova's managers, and compare them with ``nova_early_returns.toml``.

    python scripts/nova_early_returns.py [FOLDER…]

Nova records a step as Success whenever the step's method returns: also if it returned before the work was done, or
caught an exception and did not raise it again. Each such place in a method that a step runs is a *finding*, named by
its method and its text, without line numbers. The declaration beside this file has a text for each finding: what
stumble uses as evidence, or why the finding decides no outcome.

A FOLDER is the folder of the package ``nova``. Without one, the environments ``.venv-nova-*`` are read, below
``STUMBLE_NOVA_VENVS`` or this checkout. Nothing is imported: the script reads the syntax trees.

Exit status 0: findings and declaration agree. 1: a finding is new or no longer exists. 2: there is no Nova to read.
"""

from __future__ import annotations

import ast
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parents[1]
DECLARATION = Path(__file__).with_suffix(".toml")

#: Releases of Nova that the declaration describes.
RELEASES: Final = ("31.3.1", "33.0.2", "34.0.0")

#: Name of a module in findings → its file and its class. Older releases lack the last one.
_CLASSES: Final = {
    "compute": ("compute/manager.py", "ComputeManager"),
    "conductor": ("conductor/manager.py", "ComputeTaskManager"),
    "share_management": ("compute/share_management.py", "ShareManager"),
}
#: Attribute of a manager → the module of the object in it.
_DELEGATES: Final = {"share_manager": "share_management"}
#: What makes a method a step: its decorator, or the context manager in it.
_STEP_MARKS: Final = ("wrap_instance_event", "EventReporter")
#: Methods of the conductor that decide outcomes, although they are no steps.
_WITHOUT_STEP: Final = ("conductor.schedule_and_build_instances", "conductor.build_instances")
_RERAISES: Final = "save_and_reraise_exception"
_MAX_TEXT: Final = 160

Function = ast.FunctionDef


@dataclass(frozen=True, slots=True)
class Declared:
    """What the declaration has of one finding: its text, and the releases that have it."""

    text: str
    decides: bool
    releases: tuple[str, ...]


class Declaration:
    """The declared findings: method → text of the finding → its description; and the methods that are not followed."""

    def __init__(self, path: Path = DECLARATION) -> None:
        data = tomllib.loads(path.read_text("utf-8"))
        self.outside: Mapping[str, str] = data.pop("outside")
        only: Mapping[str, list[str]] = data.pop("only")
        self.findings: dict[tuple[str, str], Declared] = {}
        for method, sections in data["methods"].items():
            for section, entries in sections.items():
                decides = {"decides": True, "decides_nothing": False}[section]
                for finding, text in entries.items():
                    releases = tuple(only.get(f"{method}: {finding}", only.get(method, RELEASES)))
                    self.findings[method, finding] = Declared(text, decides, releases)

    def of(self, release: str) -> set[tuple[str, str]]:
        """Return the findings of a release; those of the newest declared release for an unknown one."""
        known = release if release in RELEASES else RELEASES[-1]
        return {key for key, declared in self.findings.items() if known in declared.releases}


def findings_of(nova: Path, outside: Iterable[str] = ()) -> set[tuple[str, str]]:
    """Return the findings of the package in ``nova`` as (method, text); methods in ``outside`` are not followed."""
    methods = _methods(nova)
    steps = [name for name, method in methods.items() if _is_step(method) or name in _WITHOUT_STEP]
    findings: set[tuple[str, str]] = set()
    for name in _reached(methods, steps, frozenset(outside)):
        findings.update((name, text) for text in _findings(methods[name], is_step=name in steps))
    return findings


def _methods(nova: Path) -> dict[str, Function]:
    methods = {}
    for module, (file, owner) in _CLASSES.items():
        path = nova / file
        if not path.exists() and module in _DELEGATES.values():
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == owner:
                methods.update({f"{module}.{one.name}": one for one in node.body if isinstance(one, Function)})
    return methods


def _is_step(method: Function) -> bool:
    text = "".join(map(ast.unparse, method.decorator_list))
    if any(mark in text for mark in _STEP_MARKS):
        return True
    return any(isinstance(node, ast.withitem) and _STEP_MARKS[1] in ast.unparse(node) for node in ast.walk(method))


def _reached(methods: Mapping[str, Function], steps: Sequence[str], outside: frozenset[str]) -> list[str]:
    """Return the names of the steps and of all methods that they call, in the order of the source."""
    reached, pending = set(), list(steps)
    while pending:
        name = pending.pop()
        if name in reached or name in outside or name not in methods:
            continue
        reached.add(name)
        pending += _called(name.partition(".")[0], methods[name])
    return [name for name in methods if name in reached]


def _called(module: str, method: Function) -> Iterator[str]:
    """Yield the names of the methods that a method uses: ``self.name`` and ``self.delegate.name``."""
    for node in ast.walk(method):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        if isinstance(owner, ast.Name) and owner.id == "self":
            yield f"{module}.{node.attr}"
        elif isinstance(owner, ast.Attribute) and owner.attr in _DELEGATES:
            yield f"{_DELEGATES[owner.attr]}.{node.attr}"


def _findings(method: Function, *, is_step: bool) -> list[str]:
    """Return the texts of a method's findings; the second of two equal texts ends with ``#2``."""
    texts = [_shortened(text) for text in _Reader(is_step=is_step).texts(method)]
    seen: Counter[str] = Counter()
    numbered = []
    for text in texts:
        seen[text] += 1
        numbered.append(text if seen[text] == 1 else f"{text} #{seen[text]}")
    return numbered


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


class _Reader:
    """Reads one method. ``is_step``: a returned value ends a step, too; other functions return it to their callers."""

    def __init__(self, *, is_step: bool) -> None:
        self._is_step = is_step

    def texts(self, method: Function) -> Iterator[str]:
        yield from self._block(method.body, "", is_last=True)

    def _block(self, body: Sequence[ast.stmt], condition: str, *, is_last: bool) -> Iterator[str]:
        for position, statement in enumerate(body):
            yield from self._statement(statement, condition, is_last=is_last and position == len(body) - 1)

    def _statement(self, node: ast.stmt, condition: str, *, is_last: bool) -> Iterator[str]:
        if isinstance(node, ast.Return):
            if not is_last and (node.value is None or self._is_step):
                yield f"{ast.unparse(node)} {condition}".rstrip()
        elif isinstance(node, Function):
            yield from _Reader(is_step=False).texts(node)
        elif isinstance(node, ast.If):
            yield from self._if(node)
        elif isinstance(node, ast.For | ast.While):
            yield from self._block([*node.body, *node.orelse], condition, is_last=False)
        elif isinstance(node, ast.With):
            yield from (f"suppress {ast.unparse(one)}" for one in node.items if "suppress(" in ast.unparse(one))
            yield from self._block(node.body, condition, is_last=is_last)
        elif isinstance(node, ast.Try):
            yield from self._try(node, condition, is_last=is_last)

    def _if(self, node: ast.If) -> Iterator[str]:
        test = ast.unparse(node.test)
        yield from self._block(node.body, f"if {test}", is_last=False)
        yield from self._block(node.orelse, f"if not ({test})", is_last=False)

    def _try(self, node: ast.Try, condition: str, *, is_last: bool) -> Iterator[str]:
        yield from self._block(node.body, condition, is_last=is_last and not node.orelse and not node.finalbody)
        yield from self._block([*node.orelse, *node.finalbody], condition, is_last=is_last)
        for handler in node.handlers:
            caught = "except" if handler.type is None else f"except {ast.unparse(handler.type)}"
            if not _leaves_by_raising(handler.body):
                yield caught
            # The finding of the handler covers the returns in it, but not what is swallowed there.
            inside = self._block(handler.body, caught, is_last=False)
            yield from (text for text in inside if not text.startswith("return"))


def _leaves_by_raising(body: Sequence[ast.stmt]) -> bool:
    """Return whether every way through a block ends with an exception."""
    last = body[-1]
    if isinstance(last, ast.Raise):
        return True
    if isinstance(last, ast.With):
        is_kept = "reraise = False" in ast.unparse(last)
        return (_RERAISES in ast.unparse(last.items[0]) and not is_kept) or _leaves_by_raising(last.body)
    if isinstance(last, ast.If):
        return bool(last.orelse) and _leaves_by_raising(last.body) and _leaves_by_raising(last.orelse)
    return False


def differences(nova: Path, release: str, declaration: Declaration) -> list[str]:
    """Return what is new in a release and what no longer exists there, one sentence each."""
    findings, declared = findings_of(nova, declaration.outside), declaration.of(release)
    new = [f"Nova {release}: new, not declared: {method}: {text}" for method, text in sorted(findings - declared)]
    gone = [f"Nova {release}: declared, but gone: {method}: {text}" for method, text in sorted(declared - findings)]
    return new + gone


def release_of(nova: Path) -> str:
    """Return the release of an installed package, from its metadata; ``unknown`` without any."""
    infos = sorted(nova.parent.glob("nova-*.dist-info"))
    return infos[0].name.removeprefix("nova-").removesuffix(".dist-info") if infos else "unknown"


def installed() -> list[Path]:
    """Return the folders of the package ``nova`` in the environments that ``make nova-matrix`` makes."""
    base = Path(os.environ.get("STUMBLE_NOVA_VENVS") or ROOT)
    return sorted(base.glob(".venv-nova-*/lib/python3*/site-packages/nova"))


_PAGE = """\
# Early returns and swallowed exceptions in Nova

Nova records a step as Success whenever its method returns: also if it returned before the work was done, or caught an
exception and did not raise it again. This page lists every such place in Nova's compute and conductor managers, in the
methods that report a step and in all methods that these call.

`scripts/nova_early_returns.py` reads them from the source of Nova {releases}
and compares them with `scripts/nova_early_returns.toml`, from which `make docs` writes this page. A test fails if a
release has a place that is not in the list. A place that only some of the releases have names them.

The rules that use the evidence are in [outcomes.md](outcomes.md#what-ends-each-action).

## Places that decide an outcome

{decides}
## Places that decide no outcome

The work is done, or fails, in the same way with or without them.

{decides_nothing}
## Methods that are not followed

| method | why |
|---|---|
{outside}"""


def page(declaration: Declaration | None = None) -> str:
    """Return docs/nova-early-returns.md."""
    declared = declaration or Declaration()
    outside = "".join(f"| `{method}` | {why} |\n" for method, why in declared.outside.items())
    return _PAGE.format(
        releases=f"{', '.join(RELEASES[:-1])} and {RELEASES[-1]}",
        decides=_table(declared, "evidence that stumble uses", decides=True),
        decides_nothing=_table(declared, "why", decides=False),
        outside=outside,
    )


def _table(declaration: Declaration, heading: str, *, decides: bool) -> str:
    rows = [f"| method | place | {heading} |\n|---|---|---|\n"]
    for (method, finding), declared in declaration.findings.items():
        if declared.decides == decides:
            only = "" if declared.releases == RELEASES else f" ({', '.join(declared.releases)})"
            place = finding.replace("|", "\\|")
            rows.append(f"| `{method}`{only} | `{place}` | {declared.text} |\n")
    return "".join(rows)


def main(folders: Sequence[str]) -> int:
    """Compare each folder, or each installed release, with the declaration."""
    packages = [Path(folder) for folder in folders] or installed()
    missing = [package for package in packages if not (package / "compute" / "manager.py").exists()]
    if missing or not packages:
        print(f"{missing[0] if missing else 'no .venv-nova-* here'}: no Nova to read", file=sys.stderr)
        return 2
    declaration = Declaration()
    lines = [line for package in packages for line in differences(package, release_of(package), declaration)]
    print("\n".join(lines) or f"{len(declaration.findings)} findings, all declared")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
