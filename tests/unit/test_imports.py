"""The arrows between the parts, and what Nova is made to load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.services import ROOT, cli_environment

#: producers → schemas ← consumers, deploy → all
ARROWS = {
    "schemas": {"schemas"},
    "producers": {"schemas", "producers"},
    "consumers": {"schemas", "consumers"},
    "deploy": {"schemas", "producers", "consumers", "deploy"},
}
#: What lives in Nova's processes: the driver, and the library under it.
LOADED_BY_NOVA = (
    "stumble.wire",
    "stumble.emitter",
    "stumble.outbox",
    "stumble.translate",
    "stumble.nova",
)
#: Tools for developers and the command line that live beside the wire format.
TOOLS = {"stumble.wire.compatibility"}
#: Beside the standard library: the one base dependency, and what a Nova host has.
NOVA_HAS = {
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


def sources(root: str) -> list[Path]:
    return sorted((ROOT / root / "stumble").rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {module_of(path): path for root in ARROWS for path in sources(root)}


@cache
def root_of() -> dict[str, str]:
    """The root that each package lies in."""
    return {name.split(".")[1]: path.relative_to(ROOT).parts[0] for name, path in modules().items()}


def imports(path: Path) -> Iterator[str]:
    """Every module that `path` names in an import, also inside functions; ``from a import b`` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("root", ARROWS)
def test_dependencies_point_one_way(root: str) -> None:
    assert sources(root), f"{root} holds no module: a test without modules holds nothing"
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(root)
        for name in imports(path)
        if name.startswith("stumble.") and root_of()[name.split(".")[1]] not in ARROWS[root]
    ]
    assert wrong == []


def test_the_namespace_belongs_to_nobody() -> None:
    assert [root for root in ARROWS if (ROOT / root / "stumble" / "__init__.py").exists()] == []


def closure() -> set[str]:
    """All modules of stumble that LOADED_BY_NOVA may import, by any way, parents included."""
    todo = [name for name in modules() if name.startswith(LOADED_BY_NOVA) and name not in TOOLS]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name not in modules():
            continue
        seen.add(name)
        todo += [name.rpartition(".")[0], *imports(modules()[name])]
    return seen


def test_what_nova_loads_needs_only_what_nova_has() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name in sorted(closure())
        for imported in imports(modules()[name])
        if imported.partition(".")[0] not in {*sys.stdlib_module_names, *NOVA_HAS, "stumble"}
    ]
    assert wrong == []


@pytest.mark.parametrize("name", LOADED_BY_NOVA)
def test_what_nova_loads_stays_light(name: str) -> None:
    if name not in modules():
        pytest.skip(f"{name} doesn't exist yet")
    code = f"import sys, {name}; print(*sorted({{m.partition('.')[0] for m in sys.modules}} & {HEAVY!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=cli_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
