"""`stumble check`: check all configured services; show what is wrong and what to do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stumble.bridge import settings as bridge
from stumble.checks.catalogue import CHECKS
from stumble.checks.model import CheckContext, CheckLevel
from stumble.checks.novaconf import transports_of
from stumble.checks.runner import CheckOutcome, run_checks, select_checks
from stumble.cli import tables
from stumble.cli.ask import examples
from stumble.settings.base import load_settings

app = typer.Typer(add_completion=False)
_COLOUR = {
    CheckLevel.WRONG: "bold red",
    CheckLevel.WARNING: "yellow",
    CheckLevel.SKIPPED: "dim",
    CheckLevel.FINE: "green",
}


@app.command(
    epilog=examples(
        "stumble check",
        "stumble check outbox relay --user nova",
        "STUMBLE_CONFIG=/etc/stumble/relay.toml stumble check --json",
        "stumble check notifications --nova-conf /etc/nova/nova.conf",
    ),
)
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Run only these checks.")] = None,
    *,
    list_: Annotated[bool, typer.Option("--list", help="List the checks.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Also show what is fine or was skipped.")] = False,
    user: Annotated[
        str | None, typer.Option(help="User that runs Nova's services; the permissions of this user are checked.")
    ] = None,
    nova_conf: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Read the URL of Nova's message bus from this file."),
    ] = None,
    transport: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Message bus to check: rabbit:// or kafka://.", envvar="STUMBLE_TRANSPORTS"),
    ] = None,
) -> None:
    """Check every service that is configured; show what is wrong and what to do.

    The command skips services that are not configured on this host, unless you name their check. Exit status 0 if
    nothing is wrong (warnings do not count), 1 otherwise. Each check has a time limit. No secret is shown. `brokers`
    and `clocks` write one record without a value, which readers ignore and compaction removes.
    """
    if list_:
        for item in CHECKS:
            typer.echo(f"{item.name:<15}{item.about}")
        return
    wanted = select_checks(names or [], CHECKS)
    results = run_checks(wanted, _scope(names or [], user, nova_conf or [], transport or []))
    if json_:
        tables.print_json(_plain(results))
    else:
        _show(results, everything=all_ or bool(names))
    if any(result.level is CheckLevel.WRONG for result in results):
        raise typer.Exit(1)


def _scope(names: list[str], user: str | None, nova_conf: list[Path], urls: list[str]) -> CheckContext:
    given = [{"name": f"bus{number}", "url": url} for number, url in enumerate(urls, 1)]
    bridged = bridge.load_bridge_settings()[1].transports
    others = bridge.load_bridge_settings(given)[1].transports if given else ()
    result = (*bridged, *others, *(item for path in nova_conf for item in transports_of(path)))
    return CheckContext(load_settings(), user, result, frozenset(item.name for item in bridged), frozenset(names))


def _show(results: list[CheckOutcome], *, everything: bool) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("Check", "", "Result, and what to do"):
        table.add_column(title)
    hidden = 0
    for result in results:
        for item in result.findings:
            if not everything and item.level in (CheckLevel.FINE, CheckLevel.SKIPPED):
                hidden += 1
                continue
            text = f"{item.subject}: {item.says}" + (f"\n→ {item.todo}" if item.todo else "")
            table.add_row(result.check.name, Text(item.level, _COLOUR[item.level]), tables.plain(text))
    if table.row_count:
        Console().print(table)
    levels = [item.level for result in results for item in result.findings]
    counts = ", ".join(f"{levels.count(level)} {level}" for level in CheckLevel if level in levels)
    typer.echo(f"{len(results)} checks: {counts}{' (--all shows them)' if hidden else ''}.")


def _plain(results: list[CheckOutcome]) -> dict[str, object]:
    worst = next((level for level in CheckLevel if any(result.level is level for result in results)), CheckLevel.FINE)
    return {
        "level": worst,
        "checks": [
            {
                "name": result.check.name,
                "level": result.level,
                "seconds": round(result.seconds, 3),
                "findings": [asdict(item) for item in result.findings],
            }
            for result in results
        ],
    }
