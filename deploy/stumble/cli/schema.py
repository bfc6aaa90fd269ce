"""`stumble schema`: show the Avro schemas, and check that their versions are compatible."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from stumble.cli import tables
from stumble.cli.ask import FormatOption, OutputFormat, examples
from stumble.runtime.error_texts import install_hint
from stumble.wire.errors import StumbleError
from stumble.wire.schemas import ALL, Schema
from stumble.wire.taxonomy.classify import known_libraries
from stumble.wire.taxonomy.scan import nova_package, scan_classes, scan_libraries
from stumble.wire.taxonomy.update import compare_classes, new_library_classes, write_classes, write_library_classes
from stumble.wire.text import printable_text

app = typer.Typer(add_completion=False)
_NEEDS_STORE = (
    f"`--unknown` reads the store and needs libraries that are not installed here; {install_hint('consumers')}"
)


@app.callback(epilog=examples("stumble schema list", "stumble schema show ActionFailed", "stumble schema check"))
def schema() -> None:
    """Show the Avro schemas, and check that their versions are compatible."""


@app.command("list", epilog=examples("stumble schema list", "stumble schema list --format json"))
def list_(*, format_: FormatOption = OutputFormat.TABLE) -> None:
    """List all versions of all records."""
    rows = [
        {"name": each.name, "version": each.version, "fingerprint": each.fingerprint.hex(), "doc": each.parsed["doc"]}
        for each in sorted(ALL, key=lambda each: (each.name, each.version))
    ]
    if format_ is OutputFormat.JSON:
        tables.print_json(rows)
        return
    table = tables.empty("Name", "Version", "Fingerprint", "Description")
    for row in rows:
        table.add_row(row["name"], str(row["version"]), row["fingerprint"], row["doc"])
    tables.console().print(table)


@app.command(
    epilog=examples(
        "stumble schema show InstanceActionEvent",
        "stumble schema show ActionFailed --format json > ActionFailed.avsc",
    ),
)
def show(
    name: Annotated[str, typer.Argument(help="Name of a record, with or without its namespace.")],
    *,
    version: Annotated[int | None, typer.Option(min=1, help="Version; by default the newest.")] = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show a record's fields; with --format json the schema itself."""
    result = _find(name, version)
    definition = json.loads(result.json)
    if format_ is OutputFormat.JSON:
        tables.print_json(definition)
        return
    out = tables.console()
    out.print(f"{result.name} version {result.version}, fingerprint {result.fingerprint.hex()}\n{definition['doc']}\n")
    table = tables.empty("Field", "Type", "Max. bytes", "Description")
    _rows(table, definition, "")
    out.print(table)


@app.command(
    epilog=examples(
        "stumble schema check",
        "stumble schema check instance-action-event.v2.avsc",
        "Exit status: 0 if all versions can read each other, else 1 with the reasons.",
    ),
)
def check(
    candidates: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, dir_okay=False, help="New versions (.avsc) to check with those of this release."),
    ] = None,
    *,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Check that all versions of a record can read each other, including what Avro's own rules do not check."""
    texts = {name: [each.json for each in ALL if each.name == name] for name in dict.fromkeys(s.name for s in ALL)}
    for path in candidates or []:
        texts.setdefault(_name(path), []).append(path.read_text("utf-8"))
    result = {name: _problems(versions) for name, versions in texts.items()}
    if format_ is OutputFormat.JSON:
        tables.print_json(result)
    else:
        for name, lines in result.items():
            sys.stdout.write(f"{name}: {'; '.join(lines) or f'compatible, versions: {len(texts[name])}'}\n")
    if any(result.values()):
        raise typer.Exit(1)


@app.command(
    epilog=examples(
        "stumble schema taxonomy --nova /opt/nova",
        "stumble schema taxonomy --nova .venv-nova-33.0.2 --nova .venv-nova-34.0.0 --write",
        "stumble schema taxonomy --unknown",
        "Exit status: 0 if every class is known, 1 if there are unknown ones.",
    ),
)
def taxonomy(
    *,
    nova: Annotated[
        list[Path] | None,
        typer.Option(help="Virtual environment with Nova, or its package; repeatable.", show_default=False),
    ] = None,
    unknown: Annotated[
        bool, typer.Option("--unknown", help="List the classes in the store that stumble does not know.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Add new classes and codes to the file that ships with stumble.")
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL URL of the store, for --unknown.", envvar="STUMBLE_DATABASE_URL", show_default=False
        ),
    ] = None,
) -> None:
    """Compare Nova's exception classes with those that stumble knows, and show the blame that its rules give new ones.

    The command does not import Nova. In a virtual environment it also looks for new classes of the libraries that Nova
    uses: a class name that Nova and a library share counts as Nova's only with its module. A class that stumble does
    not know is stored with its name and blame UNKNOWN; --unknown lists such classes, and the metric
    stumble_action_failure_exception_classes_unknown counts them.
    """
    if unknown:
        _list_unknown(database_url)
        return
    if not nova:
        raise StumbleError("Give --nova with a virtual environment that contains Nova, or --unknown.")
    packages = [nova_package(folder) for folder in nova]
    installed = {name: row for package in packages for name, row in scan_classes(package).items()}
    libraries = _library_classes(packages)
    result, unlisted = compare_classes(installed), new_library_classes(libraries)
    for name, (base, code, blame) in result.unknown.items():
        sys.stdout.write(f"unknown: {name} ({base}, {code}); the rules give blame {blame}\n")
    for name, (before, after) in result.recoded.items():
        sys.stdout.write(f"code: {name} is {after} in Nova, {before} in stumble\n")
    for name, owners in unlisted.items():
        sys.stdout.write(f"library: {name} is a class of {', '.join(owners)}, too\n")
    sys.stdout.write(f"{result.installed_count} classes in Nova, {len(result.unknown)} of them unknown to stumble\n")
    if write:
        write_classes(installed)
        write_library_classes(libraries)
        sys.stdout.write("All of them are known now; check the blame that the rules give the new ones.\n")
    elif result.unknown or result.recoded or unlisted:
        raise typer.Exit(1)


def _library_classes(packages: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """Return the classes of the libraries installed beside the given packages: name -> libraries."""
    owners: dict[str, set[str]] = {}
    for package in packages:
        for name, libraries in scan_libraries(package.parent, known_libraries()).items():
            owners.setdefault(name, set()).update(libraries)
    return {name: tuple(sorted(libraries)) for name, libraries in owners.items()}


def _list_unknown(database_url: str | None) -> None:
    """List the unknown classes in the store; exit status 1 if there are any."""
    try:
        from stumble.settings.base import load_settings  # noqa: PLC0415 - needs an extra
        from stumble.store.connect import connect  # noqa: PLC0415 - needs an extra
        from stumble.store.unknown_exceptions import unknown_exceptions  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        raise StumbleError(_NEEDS_STORE) from error
    url = load_settings(database_url=database_url).database_url.get_secret_value()
    with connect(url, application="stumble-schema") as connection:
        result = unknown_exceptions(connection)
    for one in result:
        source = "of a Nova release that stumble does not know" if one.is_nova else "of a library, or of unknown origin"
        line = (
            f"unknown: {one.exception} ({source}); failures: {one.failures}, the last at {one.last_at.isoformat()}, "
            f"in {', '.join(one.actions)}"
        )
        sys.stdout.write(printable_text(line).replace("\n", " ") + "\n")
    sys.stdout.write(f"{len(result)} classes in the store are unknown\n")
    if result:
        raise typer.Exit(1)


def _problems(versions: Sequence[str]) -> list[str]:
    from stumble.wire.compatibility import compatibility_problems  # noqa: PLC0415 - needs an extra

    return compatibility_problems(versions)


def _name(path: Path) -> str:
    try:
        definition = json.loads(path.read_text("utf-8"))
        return f"{definition['namespace']}.{definition['name']}"
    except (ValueError, KeyError, TypeError) as error:
        raise StumbleError(f"{path} is not an Avro record schema with a namespace and a name.") from error


def _find(name: str, version: int | None) -> Schema:
    named = [each for each in ALL if name.lower() in {each.name.lower(), each.name.rpartition(".")[2].lower()}]
    result = [each for each in named if version in {None, each.version}]
    if not result:
        names = ", ".join(sorted({each.name.rpartition(".")[2] for each in ALL}))
        which = f"version {version} of {name}" if named else f"schema {name}"
        raise StumbleError(f"There is no {which}; the schemas are {names}.")
    return max(result, key=lambda each: each.version)


def _rows(table: Any, record: dict[str, Any], prefix: str) -> None:
    for item in record["fields"]:
        kind, nested = _kind(item["type"])
        table.add_row(prefix + item["name"], kind, str(item.get("maxBytes", "")), item.get("doc", ""))
        if nested:
            _rows(table, nested, f"{prefix}{item['name']}.")


def _kind(kind: Any) -> tuple[str, dict[str, Any] | None]:
    """Return a type's text, and the record inside it."""
    if isinstance(kind, list):
        inner, nested = _kind(kind[1])
        return f"{inner}?", nested
    if isinstance(kind, str):
        return kind, None
    if kind["type"] == "record":
        return kind["name"], kind
    if kind["type"] == "enum":
        return " | ".join(kind["symbols"]), None
    if inside := kind.get("items") or kind.get("values"):
        return f"{kind['type']} of {_kind(inside)[0]}", None
    return str(kind.get("logicalType", kind["type"])), None
