"""Draw which package imports which; fail on cycles, on forbidden imports and on words that need an explanation.

    python scripts/import_graph.py [--words]

The rules are in ``architecture.toml`` beside this file. Nothing is imported: the script reads the syntax trees. Imports
inside functions and under ``if TYPE_CHECKING`` count, since a reader follows them too. The package of a module is the
name below the namespace: ``projector`` for ``stumble.projector.loop``.

Exit status 0: no finding. 1: at least one finding. 2: wrong usage, or a root without a single module.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

NAMESPACE = "stumble"
RULES = Path(__file__).with_name("architecture.toml")

#: Words that no identifier may contain, with the plain word to use. Extend it as words are replaced; never shorten it.
STOP_WORDS = {
    "told": "progress, evidence, description",
    "tell": "log, report, return",
    "hear": "receive",
    "heard": "received",
    "unheard": "unreachable",
    "anew": "again",
    "kept": "stored, durable",
    "spoken": "formatted",
    "mend": "repair",
    "aside": "rejected",
    "stubborn": "retry",
    "weigh": "compare",
    "judge": "decide, compare",
    "ours": "name the side",
    "theirs": "name the side",
    "mine": "name the side",
    "heir": "replacement",
    "orphan": "unassigned",
    "orphans": "system_requests",
    "twins": "duplicates",
    "laid": "staged",
    "lay": "insert",
    "lane": "session, column",
    "lanes": "sessions, columns",
    "courier": "sender",
    "crew": "workers",
    "pen": "writer",
    "standing": "status",
    "letter": "dead_letter",
    "letters": "dead_letters",
}
#: Names that are too general without another word.
STOP_NAMES = {
    "found": "rows, result, match: what it is",
    "place": "position, record_id, folder, cursor",
    "keep": "store",
    "look": "check_…, find_…",
    "take": "verb and object",
}
_WORD = re.compile(r"(?:dead_letters?|DeadLetters?|DEAD_LETTERS?)|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, slots=True)
class Rules:
    """Which roots and which packages may import which."""

    #: Root to the roots that it may import from, itself included.
    roots: Mapping[str, set[str]]
    #: Packages of each layer, the lowest layer first.
    layers: list[set[str]]

    @classmethod
    def load(cls, path: Path = RULES) -> Rules:
        """Read the rules from a file."""
        document = tomllib.loads(path.read_text())
        roots = {root: set(others) for root, others in document["roots"].items()}
        return cls(roots, [set(names) for names in document["layers"]])


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement."""

    importer: str
    imported: str
    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.importer} imports {self.imported}"


@dataclass(frozen=True)
class SourceTree:
    """All modules of the namespace below some roots, and what they import of each other."""

    #: Folder of the roots; paths are relative to it.
    folder: Path
    #: Path of each module, by dotted name.
    modules: Mapping[str, Path]
    #: Root (the folder's name) of each package.
    roots: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path, roots: Iterable[str]) -> SourceTree:
        """Find the modules below `folder`; raises `ValueError` for a root without one."""
        modules: dict[str, Path] = {}
        root_of: dict[str, str] = {}
        for root in roots:
            paths = sorted((folder / root / NAMESPACE).rglob("*.py"))
            if not paths:
                raise ValueError(f"{folder / root} contains no module of {NAMESPACE}.")
            for path in paths:
                parts = path.relative_to(folder / root).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                modules[name] = path.relative_to(folder)
                root_of[package_of(name)] = root
        return cls(folder, modules, root_of)

    @cached_property
    def imports(self) -> list[Import]:
        """Each import of one module by another."""
        found = []
        for name, path in self.modules.items():
            for node in ast.walk(self.parse(name)):
                if isinstance(node, ast.Import):
                    candidates = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    candidates = [f"{node.module}.{alias.name}" for alias in node.names]
                else:
                    continue
                modules = {self._defining_module(candidate) for candidate in candidates} - {None, name}
                found += [Import(name, str(imported), path, node.lineno) for imported in sorted(map(str, modules))]
        return found

    @cached_property
    def packages(self) -> dict[str, set[str]]:
        """Which packages each package imports."""
        found: dict[str, set[str]] = {package: set() for package in self.roots}
        for one in self.imports:
            importer, imported = package_of(one.importer), package_of(one.imported)
            if importer != imported:
                found[importer].add(imported)
        return found

    def parse(self, module: str) -> ast.Module:
        """Return the syntax tree of a module."""
        return ast.parse((self.folder / self.modules[module]).read_text())

    def _defining_module(self, name: str) -> str | None:
        """Return the module that a dotted name imports: itself, or the one that defines its last part."""
        if name in self.modules:
            return name
        parent = name.rpartition(".")[0]
        return parent if parent in self.modules else None


def package_of(module: str) -> str:
    """Return a module's package without the namespace."""
    return module.split(".")[1]


def find_cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the nodes of a cycle, each imported by the next and the first again at the end; empty without a cycle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def cycle_findings(tree: SourceTree) -> Iterator[str]:
    """Yield a cycle between packages, with the imports that close it, and a cycle between modules."""
    if cycle := find_cycle(tree.packages):
        yield f"cycle between packages: {', '.join(sorted(set(cycle)))}"
        for one in tree.imports:
            importer, imported = package_of(one.importer), package_of(one.imported)
            if importer != imported and {importer, imported} <= set(cycle):
                yield f"  {one}"
    modules: dict[str, set[str]] = defaultdict(set)
    for one in tree.imports:
        modules[one.importer].add(one.imported)
    if cycle := find_cycle(modules):
        yield f"cycle between modules: {', '.join(sorted(set(cycle)))}"


def rule_findings(tree: SourceTree, rules: Rules) -> Iterator[str]:
    """Yield imports that a rule forbids, packages that no layer names, and names in layers that are not packages."""
    height = {name: number for number, names in enumerate(rules.layers) for name in names}
    yield from (f"{package}: in no layer of {RULES.name}" for package in sorted(tree.packages.keys() - height.keys()))
    yield from (
        f"{name}: named in {RULES.name}, but not a package" for name in sorted(height.keys() - tree.packages.keys())
    )
    for one in tree.imports:
        importer, imported = package_of(one.importer), package_of(one.imported)
        if tree.roots[imported] not in rules.roots[tree.roots[importer]]:
            yield f"{one}: {tree.roots[importer]} may not import {tree.roots[imported]}"
        elif importer != imported and height.get(importer, 0) <= height.get(imported, 0):
            yield f"{one}: {imported} is not in a lower layer"


def word_findings(tree: SourceTree) -> Iterator[str]:
    """Yield identifiers that contain a stop word (modules, classes, functions, arguments, variables)."""
    for name, path in tree.modules.items():
        identifiers = {(1, name.rpartition(".")[2])}
        for node in ast.walk(tree.parse(name)):
            match node:
                case ast.ClassDef(name=found) | ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found):
                    identifiers.add((node.lineno, found))
                case ast.arg(arg=found) | ast.Name(id=found, ctx=ast.Store()):
                    identifiers.add((node.lineno, found))
        for line, identifier in sorted(identifiers):
            if identifier in STOP_NAMES:
                yield f"{path}:{line}: {identifier}: use {STOP_NAMES[identifier]}"
            for word in _WORD.findall(identifier):
                if word.lower() in STOP_WORDS:
                    yield f"{path}:{line}: {identifier}: use {STOP_WORDS[word.lower()]}"


def class_name_findings(tree: SourceTree) -> Iterator[str]:
    """Yield names that more than one public class has."""
    definitions: dict[str, list[str]] = defaultdict(list)
    for module, path in tree.modules.items():
        for node in tree.parse(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                definitions[node.name].append(f"{path}:{node.lineno}")
    for name, paths in sorted(definitions.items()):
        if len(paths) > 1:
            yield f"{name} is defined {len(paths)} times: {', '.join(paths)}"


def docstring_of(tree: SourceTree, package: str) -> str:
    """Return a package's docstring."""
    return ast.get_docstring(tree.parse(f"{NAMESPACE}.{package}")) or ""


def purpose_of(tree: SourceTree, package: str) -> str:
    """Return the first line of a package's docstring."""
    return docstring_of(tree, package).partition("\n")[0]


def draw_graph(tree: SourceTree, rules: Rules) -> str:
    """Return the graph as text, the highest layer first: one package a line, and what it imports."""
    blocks = []
    for names in reversed(rules.layers):
        lines = (f"{name:12}-> {' '.join(sorted(tree.packages[name])) or '(nothing)'}" for name in sorted(names))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def main(arguments: list[str] | None = None) -> int:
    """Print the graph, then the findings; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=RULES.parents[1], help="folder of the roots (this project's)")
    parser.add_argument("--words", action="store_true", help="also find stop words and class names that are used twice")
    given = parser.parse_args(arguments)
    rules = Rules.load()
    try:
        tree = SourceTree.read(given.folder, rules.roots)
    except ValueError as error:
        parser.error(str(error))
    findings = [*cycle_findings(tree), *rule_findings(tree, rules)]
    if given.words:
        findings += [*word_findings(tree), *class_name_findings(tree)]
    if not findings:
        print(draw_graph(tree, rules))
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"{len(tree.modules)} modules, {len(tree.packages)} packages, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
