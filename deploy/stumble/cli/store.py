"""`stumble store`: look after the database."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from stumble.audit.audit import Audit, AuditScope
from stumble.audit.repair import repair_store
from stumble.cli.ask import examples
from stumble.cli.audit import progress
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.cli.stats import stats_lines
from stumble.projector.settings import ProjectorSettings
from stumble.store.connect import connect, database_label
from stumble.store.migrate import migrate as migrate_store
from stumble.store.stats import stats as look
from stumble.store.version import require_current

app = typer.Typer(add_completion=False)


@app.callback()
def store() -> None:
    """Look after the database."""


@app.command(epilog=examples("stumble store migrate"))
def migrate(*, database_url: DatabaseOption = None) -> None:
    """Bring the store to this program's version; safe to run again and from several hosts at once."""
    url = settings_of(database_url).database_url.get_secret_value()
    before, after = migrate_store(url)
    change = f"is at version {after}" if before == after else f"went from version {before or 'none'} to {after}"
    typer.echo(f"The store {database_label(url)} {change}.")


@app.command(epilog=examples("stumble store rebuild", "stumble store rebuild --from-nothing"))
def rebuild(
    *,
    from_nothing: Annotated[
        bool, typer.Option("--from-nothing", help="Empty the derived tables first; stop the projectors before.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept-loss", help="Empty them though the topic no longer holds its beginning.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Build the derived tables anew from the topic; status 0 if the store then says what the topic says.

    Nothing is published twice and nothing counted twice: what changes is corrected. What is older than the topic
    stays as it is. Without --from-nothing, projectors may run meanwhile.
    """
    settings = settings_of(database_url)
    audit = Audit(settings, ProjectorSettings(), AuditScope(), on_progress=progress())
    try:
        if from_nothing:
            audit.empty(accept_loss=accept)
        report = audit.run()
        if not report.equal:
            report = repair_store(audit)
    finally:
        audit.close()
    typer.echo(", ".join(f"{count:,} {what}" for what, count in report.repaired.items()) or "There was nothing to do.")
    typer.echo("The store says what the topic says." if report.equal else f"{report.total:,} differences are left.")
    raise typer.Exit(0 if report.equal else 1)


@app.command(epilog=examples("stumble store stats", "stumble store stats --exact --json"))
def stats(
    *,
    exact: Annotated[
        bool, typer.Option("--exact", help="Count events, requests and failures: reads them all.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer as one JSON document.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Show how large the store is, table by table and index by index, and whether vacuum keeps up."""
    url = settings_of(database_url).database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-stats") as connection:
        connection.execute("set statement_timeout = 0")
        result = look(connection, exact=exact)
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=2, default=str))
        return
    for line in stats_lines(result):
        typer.echo(line)
