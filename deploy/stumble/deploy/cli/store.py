"""`stumble store`: migrate the database, and say on purpose what the projector never decides alone."""

from __future__ import annotations

from typing import Annotated

import typer

from stumble.consumers.projector.acceptance import accept_loss
from stumble.consumers.store.connect import shown
from stumble.consumers.store.migrate import migrate as migrate_store
from stumble.deploy.cli.ask import examples
from stumble.deploy.cli.roles import DatabaseOption, settings_of

app = typer.Typer(add_completion=False)


@app.callback()
def store() -> None:
    """Migrate the database; look after its Kafka offsets."""


@app.command(epilog=examples("stumble store migrate"))
def migrate(*, database_url: DatabaseOption = None) -> None:
    """Bring the store to this program's version; safe to run again and from several hosts at once."""
    url = settings_of(database_url).database_url.get_secret_value()
    before, after = migrate_store(url)
    told = f"is at version {after}" if before == after else f"went from version {before or 'none'} to {after}"
    typer.echo(f"The store {shown(url)} {told}.")


@app.command(
    epilog=examples("stumble store offsets", "stumble store offsets --accept-loss --partition 3"),
)
def offsets(
    *,
    accept: Annotated[
        bool, typer.Option("--accept-loss", help="Go on at the oldest record that the topic still has.")
    ] = False,
    partition: Annotated[list[int] | None, typer.Option(help="Only this partition; may be repeated.")] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Show where the store is in the topic; with --accept-loss, go on where records were lost to retention.

    A partition whose next record is gone stands still until this command says that the loss is known. The same
    holds for a topic that was deleted and made anew. Events that the store knows stay single.
    """
    settings = settings_of(database_url)
    for line in accept_loss(settings, set(partition or ()), really=accept):
        typer.echo(line)
