"""`stumble store`: look after the database."""

from __future__ import annotations

from typing import Annotated

import typer

from stumble.consumers.audit.audit import Audit, Scope
from stumble.consumers.projector.settings import ProjectorSettings
from stumble.consumers.store.connect import shown
from stumble.consumers.store.migrate import migrate as migrate_store
from stumble.deploy.cli.ask import examples
from stumble.deploy.cli.audit import progress
from stumble.deploy.cli.roles import DatabaseOption, settings_of

app = typer.Typer(add_completion=False)


@app.callback()
def store() -> None:
    """Look after the database."""


@app.command(epilog=examples("stumble store migrate"))
def migrate(*, database_url: DatabaseOption = None) -> None:
    """Bring the store to this program's version; safe to run again and from several hosts at once."""
    url = settings_of(database_url).database_url.get_secret_value()
    before, after = migrate_store(url)
    told = f"is at version {after}" if before == after else f"went from version {before or 'none'} to {after}"
    typer.echo(f"The store {shown(url)} {told}.")


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
    audit = Audit(settings, ProjectorSettings(), Scope(), told=progress())
    try:
        if from_nothing:
            audit.empty(accept_loss=accept)
        report = audit.run()
        if not report.equal:
            report = audit.repair()
    finally:
        audit.close()
    typer.echo(", ".join(f"{count:,} {what}" for what, count in report.repaired.items()) or "There was nothing to do.")
    typer.echo("The store says what the topic says." if report.equal else f"{report.total:,} differences are left.")
    raise typer.Exit(0 if report.equal else 1)
