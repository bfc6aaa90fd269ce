"""Allowed imports (`scripts/architecture.toml`), and the modules that Nova loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import import_graph
from tests.support.services import ROOT, cli_environment

RULES = import_graph.Rules.load()
TREE = import_graph.SourceTree.read(ROOT, RULES.roots)
#: Packages that run in Nova's processes: the driver, and the library that it uses.
LOADED_BY_NOVA = ("stumble.wire", "stumble.emitter", "stumble.outbox", "stumble.translate", "stumble.nova")
#: Tools of developers, which Nova does not load.
TOOLS = {"stumble.wire.compatibility"}
#: Allowed beside the standard library: the only base dependency, and packages that each Nova host has.
NOVA_HOST_PACKAGES = {
    "fastavro",
    "nova",
    "oslo_config",
    "oslo_context",
    "oslo_log",
    "oslo_messaging",
    "oslo_utils",
    "oslo_versionedobjects",
}
HEAVY = {"pydantic", "pydantic_settings", "confluent_kafka", "typer", "rich", "click", "structlog", "httpx", "psycopg"}


def test_packages_and_modules_form_no_cycle() -> None:
    assert list(import_graph.cycle_findings(TREE)) == []


def test_packages_import_lower_layers_of_allowed_roots_only() -> None:
    assert list(import_graph.rule_findings(TREE, RULES)) == []


def test_docstring_of_each_package_names_what_it_imports_and_where_to_start() -> None:
    for package, imports in TREE.packages.items():
        text = import_graph.docstring_of(TREE, package)
        start, named = re.split(r"Imports\b", text)
        assert set(re.findall(r"``(\w+)``", named)) == imports, f"docstring of {package}"
        module = re.findall(r"Start reading at ``(\w+)``", start)[0]
        assert f"stumble.{package}.{module}" in TREE.modules


def test_readme_names_each_package_beside_its_folder() -> None:
    rows = re.findall(r"^\| `(\w+)/` \| (.+?) \| .+ \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    shown = {package: root for root, packages in rows for package in re.findall(r"`(\w+)`", packages)}
    assert shown == TREE.roots


def test_identifiers_hold_no_stop_word() -> None:
    assert list(import_graph.word_findings(TREE)) == []


def test_public_class_names_are_unique() -> None:
    assert list(import_graph.class_name_findings(TREE)) == []


def test_tests_import_helpers_of_their_own_folder_and_of_support_only() -> None:
    paths = sorted((ROOT / "tests").rglob("*.py"))
    assert len(paths) > 100
    wrong = []
    for path in paths:
        folders = ["tests.support", *(".".join(parent.parts) for parent in list(path.relative_to(ROOT).parents)[:-2])]
        wrong += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in imports_in(ast.parse(path.read_text()), path)
            if name.startswith("tests.") and not any(f"{name}.".startswith(f"{folder}.") for folder in folders)
        ]
    # The exception compares a table of the docs with the rows that `make newcomer` tests.
    assert wrong == ["tests/unit/test_docs.py imports tests.newcomer.__main__"]


def test_command_prints_the_graph() -> None:
    command: list[str | Path] = [sys.executable, ROOT / "scripts" / "import_graph.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "relay       -> outbox runtime settings signatures wire" in done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A tree with one module in each root, none of which imports another."""
    for root, package in zip(RULES.roots, ("wire", "relay", "projector", "cli"), strict=True):
        write(tmp_path, root, package, "")
    return tmp_path


def write(folder: Path, root: str, package: str, text: str) -> None:
    path = folder / root / "stumble" / package
    path.mkdir(parents=True, exist_ok=True)
    (path / "__init__.py").touch()
    (path / "module.py").write_text(text)


def findings(folder: Path) -> str:
    tree = import_graph.SourceTree.read(folder, RULES.roots)
    return "\n".join([*import_graph.cycle_findings(tree), *import_graph.rule_findings(tree, RULES)])


def test_root_without_modules_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted((project / "producers").rglob("*.py")):
        path.unlink()
    with pytest.raises(SystemExit) as caught:
        import_graph.main(["--folder", str(project)])
    assert caught.value.code == 2
    assert "producers contains no module of stumble" in capsys.readouterr().err


def test_cycle_through_a_type_only_import_is_found(project: Path) -> None:
    for package, other in (("store", "ingest"), ("ingest", "store")):
        text = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from stumble.{other}.module import X\n"
        write(project, "consumers", package, text)
    assert "cycle between packages: ingest, store" in findings(project)


def test_import_of_a_higher_layer_is_found(project: Path) -> None:
    write(project, "consumers", "store", "def f():\n    import stumble.projector.module\n")
    text = "stumble.store.module imports stumble.projector.module: projector is not in a lower layer"
    assert text in findings(project)


def test_import_of_the_other_half_is_found(project: Path) -> None:
    write(project, "producers", "outbox", "")
    write(project, "consumers", "projector", "from stumble.outbox import module\n")
    assert "consumers may not import producers" in findings(project)


def test_package_without_a_layer_is_found(project: Path) -> None:
    write(project, "schemas", "more", "")
    assert "more: in no layer of architecture.toml" in findings(project)


def test_layer_that_names_no_package_is_found(project: Path) -> None:
    assert "audit: named in architecture.toml, but not a package" in findings(project)


def test_cycle_between_modules_of_one_package_is_found(project: Path) -> None:
    write(project, "schemas", "wire", "from stumble.wire import other\n")
    (project / "schemas/stumble/wire/other.py").write_text("from stumble.wire.module import X\n")
    assert "cycle between modules: stumble.wire.module, stumble.wire.other" in findings(project)


def test_stop_words_and_repeated_class_names_are_found(project: Path) -> None:
    write(project, "schemas", "wire", "class Courier: ...\ndef f(told, dead_letter): ...\n")
    write(project, "producers", "relay", "class Courier: ...\n")
    tree = import_graph.SourceTree.read(project, RULES.roots)
    words = [finding.split(": ")[1] for finding in import_graph.word_findings(tree)]
    assert sorted(words) == ["Courier", "Courier", "told"]
    assert [finding.split(":")[0] for finding in import_graph.class_name_findings(tree)] == [
        "Courier is defined 2 times"
    ]


def test_namespace_has_no_module_of_its_own() -> None:
    assert [root for root in RULES.roots if (ROOT / root / "stumble" / "__init__.py").exists()] == []


def test_each_package_is_marked_as_typed() -> None:
    packages = [(TREE.folder / TREE.modules[f"stumble.{name}"]).parent for name in TREE.packages]
    assert [package for package in packages if not (package / "py.typed").exists()] == []


def imports_of(module: str) -> Iterator[str]:
    """Yield what a module of stumble imports."""
    return imports_in(TREE.parse(module), module)


def imports_in(tree: ast.AST, name: str | Path) -> Iterator[str]:
    """Yield each imported module, also those imported in functions; ``from a import b`` gives a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_that_nova_may_import() -> set[str]:
    """Return the modules of LOADED_BY_NOVA and all modules of stumble that they import, with parent packages."""
    todo = [name for name in TREE.modules if name.startswith(LOADED_BY_NOVA) and name not in TOOLS]
    visited: set[str] = set()
    while todo:
        name = todo.pop()
        if name in visited or name not in TREE.modules:
            continue
        visited.add(name)
        todo += [name.rpartition(".")[0], *imports_of(name)]
    return visited


def test_modules_loaded_by_nova_import_only_packages_of_a_nova_host() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in sorted(modules_that_nova_may_import())
        for imported in imports_of(name)
        if imported.partition(".")[0] not in {*sys.stdlib_module_names, *NOVA_HOST_PACKAGES, "stumble"}
    ]
    assert wrong == []


@pytest.mark.parametrize("name", LOADED_BY_NOVA)
def test_modules_loaded_by_nova_import_no_heavy_library(name: str) -> None:
    code = f"import sys, {name}; print(*sorted({{m.partition('.')[0] for m in sys.modules}} & {HEAVY!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=cli_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
