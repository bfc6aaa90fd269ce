"""Generated documents are current, and the commands in all documents exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import tests.newcomer.__main__ as newcomer
from tests.support.services import ROOT

PAGES = {page.name: page.read_text() for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
#: A command in a code block or in backticks, without the text that follows it.
COMMAND = re.compile(r"(?:[#$] |`|&& |=\S+ )stumble ((?:[a-z][a-z-]*)[^`\n|#;&>\")(]*)")


def test_functions_on_the_path_of_an_event_exist() -> None:
    text = re.split("^## ", PAGES["architecture.md"], flags=re.MULTILINE)
    (section,) = (part for part in text if part.startswith("Path of an event through the code"))
    names = re.findall(r"`((?:[a-z_]+\.){2,}\w+(?:\.\w+)?)`", section)
    assert len(names) > 30
    for name in names:
        parts = name.split(".")
        number = next(number for number in (3, 2) if _source_of(parts[:number]))
        source = _source_of(parts[:number])
        assert source is not None
        definition: ast.AST = ast.parse(source.read_text())
        for part in parts[number:]:
            children = ast.iter_child_nodes(definition)
            found = next((node for node in children if getattr(node, "name", None) == part), None)
            assert found is not None, f"docs/architecture.md names {name}, which does not exist"
            definition = found


def _source_of(parts: list[str]) -> Path | None:
    return next(iter(ROOT.glob(f"*/stumble/{'/'.join(parts)}.py")), None)


def test_generated_documents_are_current() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_every_created_or_queried_metric_is_in_the_reference() -> None:
    """Producers may not import the consumers' list of metrics, so relay and bridge have their own."""
    known = set(re.findall(r"^\| `(stumble_\w+)`", PAGES["metrics.md"], re.MULTILINE))
    code = [path.read_text() for root in ("producers", "consumers") for path in (ROOT / root).rglob("*.py")]
    kind = r'(?:Metric|Counter|Gauge|Histogram)\([^)]*?"(stumble_\w+)"'
    created = {name.removesuffix("_total") for text in code for name in re.findall(kind, text)}
    assert len(created) > 50
    assert created - {name.removesuffix("_total") for name in known} == set()
    queries = [path.read_text() for end in ("yml", "json") for path in (ROOT / "deploy").rglob(f"*.{end}")]
    queried = {name for text in (*queries, *PAGES.values()) for name in re.findall(r"\bstumble_[a-z_]*[a-z]\b", text)}
    queried -= {"stumble_derived", "stumble_durable"}  # schemas of the store
    queried -= {"stumble_fingerprint", "stumble_relay", "stumble_bridge"}  # headers
    assert len(queried) > 40
    assert {name for name in queried if re.sub("_(bucket|count|sum)$", "", name) not in known} == set()


def test_table_of_conditions_for_make_run_equals_the_tested_rows() -> None:
    table = re.findall(r"^\| (.+) \| (.+) \|$", PAGES["install.md"].partition("## Where `make run`")[2], re.MULTILINE)
    assert table == [("condition", "result"), *((row.condition, row.result) for row in newcomer.ROWS)]


def test_nova_conf_examples_have_no_comment_after_a_value() -> None:
    """oslo.config reads it as a part of the value: Nova would not start with the example."""
    blocks = [block for text in PAGES.values() for block in re.findall(r"```ini\n(.*?)```", text, re.DOTALL)]
    lines = [line for block in blocks for line in block.splitlines() if "=" in line and not line.startswith("#")]
    assert len(lines) > 10
    assert not [line for line in lines if "#" in line]


def test_every_command_in_the_docs_exists_with_its_options() -> None:
    parts = re.split(r"^#+ `stumble (.+)`$", PAGES["cli.md"], flags=re.MULTILINE)
    known = {name: set(re.findall(r"--[a-z-]+", text)) for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    shown_commands = [
        (page, line) for page, text in PAGES.items() if page != "cli.md" for line in COMMAND.findall(text)
    ]
    assert len(shown_commands) > 100
    assert [
        f"{page}: stumble {line}: {problem}" for page, line in shown_commands if (problem := complaint(line, known))
    ] == []


def complaint(line: str, known: dict[str, set[str]]) -> str | None:
    """Return what is wrong with a command line; `known` has the options of every command."""
    words = line.split()
    name = max((name for name in known if f"{' '.join(words)} ".startswith(f"{name} ")), key=len, default=None)
    if name is None:
        return "no such command"
    if any(other.startswith(f"{name} ") for other in known) and len(words) > len(name.split()):
        return "no such subcommand"
    unknown = set(re.findall(r"--[a-z-]+", line)) - known[name]
    return f"no {', '.join(sorted(unknown))}" if unknown else None
