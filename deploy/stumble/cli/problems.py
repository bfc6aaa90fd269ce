"""`stumble problems`: list failures grouped by cause; resolve and mute."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Column, Table

from stumble.cli import tables
from stumble.cli.ask import ApiOption, FormatOption, OutputFormat, ask, change, examples

app = typer.Typer(add_completion=False, no_args_is_help=True)
Fingerprint = Annotated[str, typer.Argument(metavar="PROBLEM", help="Fingerprint of the problem, v1:…")]
NoteOption = Annotated[str | None, typer.Option(help="Note for other operators.")]
_COLUMNS = (
    "Problem",
    "State",
    "Last seen (UTC)",
    "Cause",
    "Blame",
    "Failures",
    "Servers",
    "Projects",
    "Hosts",
    "Actions",
)
_BARS = " ▁▂▃▄▅▆▇█"


@app.callback()
def problems() -> None:
    """List problems (failures grouped by cause); resolve and mute them."""


@app.command("ls", epilog=examples("stumble problems ls", "stumble problems ls --state REGRESSED"))
def list_(
    *,
    state: Annotated[str | None, typer.Option(help="NEW (for a day), ONGOING, REGRESSED, RESOLVED or MUTED.")] = None,
    muted: Annotated[bool, typer.Option(help="Include muted problems.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Maximum number of problems.")] = 50,
    api: ApiOption = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """List problems, the most recently seen first."""
    parameters = {"state": state.upper() if state else None, "muted": muted, "limit": limit}
    items = ask(api, "/v1/problems", parameters)["items"]
    if format_ is OutputFormat.JSON:
        tables.print_json(items)
    elif not items:
        typer.echo("No problems match.")
    else:
        tables.console().print(tables.rows(_COLUMNS, map(_row, items)))


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    counts = (item[name] for name in ("failures", "instances", "projects", "hosts", "actions"))
    cause = tables.single_line(tables.what(item))
    return item["fingerprint"], item["state"], tables.clock(item["last_at"]), cause, item["blame"], *counts


@app.command(epilog=examples("stumble problems show v1:a7bf83194a6acce82d172c7e14315698"))
def show(problem: Fingerprint, *, api: ApiOption = None, format_: FormatOption = OutputFormat.TABLE) -> None:
    """Show one problem, with the actions, hosts and projects that have the most of its failures."""
    _print(ask(api, f"/v1/problems/{problem}"), format_)


@app.command(epilog=examples("stumble problems resolve v1:a7bf… --note 'host drained'"))
def resolve(problem: Fingerprint, *, note: NoteOption = None, api: ApiOption = None) -> None:
    """Mark a problem as resolved; a failure that happens later makes it REGRESSED."""
    _print(change(api, f"/v1/problems/{problem}/resolve", {"note": note}), OutputFormat.TABLE)


@app.command(epilog=examples("stumble problems reopen v1:a7bf…"))
def reopen(problem: Fingerprint, *, note: NoteOption = None, api: ApiOption = None) -> None:
    """Mark a problem as not resolved."""
    _print(change(api, f"/v1/problems/{problem}/reopen", {"note": note}), OutputFormat.TABLE)


@app.command(epilog=examples("stumble problems mute v1:a7bf… --for 3d"))
def mute(
    problem: Fingerprint,
    *,
    duration: Annotated[str, typer.Option("--for", help="Duration: 15m, 8h, 3d.")] = "8h",
    note: NoteOption = None,
    api: ApiOption = None,
) -> None:
    """Send no alerts about a problem for a time; its failures are still recorded and counted."""
    _print(change(api, f"/v1/problems/{problem}/mute", {"duration": duration, "note": note}), OutputFormat.TABLE)


@app.command(epilog=examples("stumble problems unmute v1:a7bf…"))
def unmute(problem: Fingerprint, *, api: ApiOption = None) -> None:
    """Send alerts about a problem again."""
    _print(change(api, f"/v1/problems/{problem}/unmute", {}), OutputFormat.TABLE)


def _print(item: dict[str, Any], format_: OutputFormat) -> None:
    if format_ is OutputFormat.JSON:
        tables.print_json(item)
        return
    table = Table("", Column(overflow="fold"), box=None, show_header=False, pad_edge=False)
    for name, value in item.items():
        if name == "hours":
            table.add_row("last 24 hours", tables.plain(sparkline(value)))
        elif name.startswith("by_"):
            named = ", ".join(f"{one['value'] or 'unknown'} ({one['failures']})" for one in value)
            table.add_row(name.replace("_", " "), tables.plain(named))
        elif value is not None and name.endswith(("_at", "_until")):
            table.add_row(name.replace("_", " "), f"{tables.clock(value)} UTC")
        elif value is not None:
            table.add_row(name.replace("_", " "), tables.plain(value))
    tables.console().print(table)


def sparkline(values: list[int]) -> str:
    """Draw counts as bars."""
    most = max(values, default=0) or 1
    return "".join(_BARS[-(-value * (len(_BARS) - 1) // most)] for value in values)
