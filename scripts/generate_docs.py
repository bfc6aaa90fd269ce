"""Generate documents from the code: OpenAPI, AsyncAPI, commands, metrics, capacities, map of the packages, and others.

`--check` writes nothing and fails if one of them is not current.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("schemas", "producers", "consumers", "deploy")]
# A document must not depend on the settings of this machine.
for variable in [name for name in os.environ if name.startswith("STUMBLE_")]:
    del os.environ[variable]
os.environ["TERM"] = "dumb"


def openapi() -> str:
    """Return the OpenAPI document of the HTTP API."""
    from stumble.server.app import create_app  # noqa: PLC0415
    from stumble.settings.base import load_settings  # noqa: PLC0415

    return json.dumps(create_app(load_settings()).openapi(), indent=2, ensure_ascii=False) + "\n"


def asyncapi() -> str:
    """Return the AsyncAPI document of the topics."""
    import yaml  # noqa: PLC0415

    from stumble.api.asyncapi import document  # noqa: PLC0415

    return yaml.safe_dump(document(), sort_keys=False, allow_unicode=True, width=110)


def cli() -> str:
    """Return the reference of all commands."""
    import typer  # noqa: PLC0415
    from typer.cli import get_docs_for_click  # noqa: PLC0415

    from stumble.cli.commands import COMMANDS  # noqa: PLC0415
    from stumble.cli.group import load_command  # noqa: PLC0415

    parts = ["# The command line\n", "`make docs` writes this page from the code of the commands.\n"]
    section = ""
    for command in COMMANDS:
        if command.section != section:
            section = command.section
            parts.append(f"## {section}\n")
        loaded = load_command(command)
        name = f"stumble {command.name}"
        text = get_docs_for_click(obj=loaded, ctx=typer.Context(loaded), name=name, indent=2)
        parts.append(_examples(re.sub(r"^\* `--help`.*\n", "", text, flags=re.MULTILINE)).strip() + "\n")
    return "\n".join(parts)


def metrics() -> str:
    """Return the reference of all metrics."""
    from prometheus_client import REGISTRY, CollectorRegistry  # noqa: PLC0415

    from stumble.api.metrics import ApiMetrics  # noqa: PLC0415
    from stumble.bridge import notification_writer  # noqa: PLC0415
    from stumble.metrics.definitions import ALL, BUILD_INFO, unit_of  # noqa: PLC0415
    from stumble.relay.metrics import RelayMetrics  # noqa: PLC0415

    relay = CollectorRegistry()
    RelayMetrics(relay)
    roles: dict[str, list[tuple[str, str, tuple[str, ...], str]]] = {
        role: [] for role in ("every process", "store", "projector", "alerter")
    }
    for item in ALL:
        roles[item.role].append((item.name, item.kind, item.labels, item.help))
    roles["api"] = [row for row in _collected(ApiMetrics().registry) if row[0] != BUILD_INFO.name]
    roles["relay"] = _collected(relay)
    roles["bridge"] = [row for row in _collected(REGISTRY) if row[0].startswith("stumble_bridge")]
    assert notification_writer
    parts = [
        "# Metrics\n",
        "`make docs` writes this page from the code. A metric without a unit is a count. The API serves the store's",
        "metrics; scrape one API only. Every other role serves its own metrics on its metrics port. A scraper that",
        "accepts OpenMetrics gets exemplars too: the request id (and instance) of the newest failures and durations.",
        "Prometheus stores them with `--enable-feature=exemplar-storage`. The bridge also serves the `process_…` and",
        "`python_…` metrics of Prometheus' Python client. Sum over `incarnation`: it changes when the store is",
        "restored or fails over.\n",
    ]
    for role, rows in roles.items():
        parts += [f"## {role}\n", "| metric | kind | unit | labels | meaning |", "|---|---|---|---|---|"]
        for name, kind, labels, text in sorted(rows):
            shown = f"{name}_total" if kind == "counter" else name
            parts.append(f"| `{shown}` | {kind} | {unit_of(name)} | {', '.join(labels)} | {text} |")
        parts.append("")
    return "\n".join(parts)


def operations() -> str:
    """Return docs/operations.md with a new capacity table; the rest of the page is not generated."""
    from stumble.capacity.plan import capacity_table  # noqa: PLC0415

    return _replaced((ROOT / "docs" / "operations.md").read_text("utf-8"), "capacity", capacity_table() + "\n")


def architecture() -> str:
    """Return docs/architecture.md with a new map of the packages and a new import graph."""
    import import_graph  # noqa: PLC0415

    rules = import_graph.Rules.load()
    tree = import_graph.SourceTree.read(ROOT, rules.roots)
    rows = [
        f"| `{root}/` | `{package}` | {import_graph.purpose_of(tree, package).replace('``', '`')} |"
        for root in rules.roots
        for package, other in sorted(tree.roots.items())
        if other == root
    ]
    table = "\n".join(["| folder | package | purpose |", "|---|---|---|", *rows])
    graph = f"```text\n{import_graph.draw_graph(tree, rules)}\n```"
    text = _replaced((ROOT / "docs" / "architecture.md").read_text("utf-8"), "map", f"\n{table}\n\n")
    return _replaced(text, "graph", f"\n{graph}\n\n")


def early_returns() -> str:
    """Return the list of early returns and swallowed exceptions in Nova, from their declaration."""
    import nova_early_returns  # noqa: PLC0415

    return nova_early_returns.page()


def _replaced(text: str, mark: str, part: str) -> str:
    """Return `text` with `part` between the comments that begin and end `mark`."""
    head, begin, rest = text.partition(f"<!-- {mark} -->\n")
    return head + begin + part + rest[rest.index(f"<!-- /{mark} -->") :]


def _collected(registry: object) -> list[tuple[str, str, tuple[str, ...], str]]:
    return [
        (item._name, item._type, item._labelnames, item._documentation)  # noqa: SLF001 - no public API
        for item in registry._collector_to_names  # type: ignore[attr-defined]  # noqa: SLF001
        if hasattr(item, "_labelnames")
    ]


def _examples(text: str) -> str:
    """Format the lines of examples as code, but not the sentences between them."""
    out: list[str] = []
    for block in text.split("\n\n"):
        inside = bool(out) and (out[-1] == "**Examples**:" or out[-1].startswith("    "))
        is_sentence = block.startswith(("#", "**")) or (block[:1].isupper() and "=" not in block.split(maxsplit=1)[0])
        if block.strip() == "Examples:":
            out.append("**Examples**:")
        elif inside and block.strip() and not is_sentence:
            line = f"    {block.strip()}"
            if out[-1].startswith("    "):
                out[-1] += f"\n{line}"
            else:
                out.append(line)
        else:
            out.append(block)
    return "\n\n".join(out)


DOCUMENTS: dict[str, Callable[[], str]] = {
    "openapi.json": openapi,
    "asyncapi.yaml": asyncapi,
    "cli.md": cli,
    "metrics.md": metrics,
    "operations.md": operations,
    "architecture.md": architecture,
    "nova-early-returns.md": early_returns,
}


def main() -> None:
    """Write, or check, every document."""
    stale = []
    for name, make in DOCUMENTS.items():
        path, text = ROOT / "docs" / name, make()
        if path.exists() and path.read_text("utf-8") == text:
            continue
        if "--check" in sys.argv:
            stale.append(f"docs/{name}")
        else:
            path.write_text(text, "utf-8")
            print(f"docs/{name} written")
    if stale:
        sys.exit(f"{' and '.join(stale)}: not current; run: make docs")


if __name__ == "__main__":
    main()
