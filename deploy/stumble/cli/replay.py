"""`stumble replay`: build a separate store from the topic, or show the history of one server."""

from __future__ import annotations

import json
import sys
from typing import Annotated
from uuid import UUID

import typer

from stumble.audit.instance_history import InstanceHistory
from stumble.audit.replay import Replay
from stumble.cli import tables
from stumble.cli.ask import between, examples
from stumble.cli.audit import ProcessesOption, progress
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.explain.explanation import explain_server
from stumble.explain.text import server_lines
from stumble.store.connect import StoreError, StoreUnavailableError, connect, database_label
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble replay --instance 15db147f-b35b-4889-a0a8-9c0d0d0fd501",
        "stumble replay --to 2026-01-31T12:00:00Z --into before_the_storm",
        "stumble replay --into postgresql://me@host/copy",
    ),
)
def replay(
    *,
    instance: Annotated[UUID | None, typer.Option(help="Show the history of this server.", show_default=False)] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Only records that Kafka received since then.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only records that Kafka received before then.")
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_URL",
            help="Database for the new store: its URL, or the name of a database to create on the store's server.",
        ),
    ] = None,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Leave the new store writable, so that an alerter can send from it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    processes: ProcessesOption = None,
    database_url: DatabaseOption = None,
) -> None:
    """Read the topic again: show the history of one server, or build a store as it was at any time.

    The new store is read-only; to query it, start `stumble api` with STUMBLE_DATABASE_URL set to it. Nothing is sent
    from it. The decisions that the clock made up to then are copied from the store.
    """
    if (instance is None) == (into is None):
        raise typer.BadParameter("give either --instance or --into")
    settings = settings_of(database_url)
    begin, end = between(from_, to, "--from and --to")
    if instance is not None:
        _print_history(InstanceHistory(settings, str(instance), begin, end, progress()), as_json=as_json)
        return
    _check_database(into or "")
    done = Replay(settings, begin, end, progress(), processes=processes).into(into or "", alerts=alerts)
    rate = done.records / done.seconds if done.seconds else 0
    if as_json:
        names = ("records", "events", "unreadable", "unsigned", "instances", "decisions")
        figures = {name: getattr(done, name) for name in names}
        json.dump({**figures, "seconds": done.seconds, "records_per_second": rate}, sys.stdout)
        sys.stdout.write("\n")
        return
    typer.echo(
        f"{done.records:,} records, {done.events:,} events of {done.instances:,} instances in {done.seconds:.1f} s "
        f"({rate:,.0f} records/s); {done.unreadable:,} cannot be read, "
        f"{done.unsigned:,} have no valid signature, {done.decisions:,} decisions copied."
    )
    kind = "It is writable: an alerter can send from it." if alerts else "It is read-only."
    typer.echo(f"The store is in the database {database_label(done.url)}. {kind}")


def _check_database(into: str) -> None:
    """Connect to a database given by its URL before the topic is read, so that an error names --into."""
    if "://" not in into and "=" not in into:
        return
    try:
        connect(into).close()
    except StoreUnavailableError as error:
        raise StumbleError(
            f"The database at {database_label(into)} does not answer ({error.reason}): start or create it, or "
            "change --into."
        ) from error
    except StoreError as error:
        raise StumbleError(
            "--into is not a valid PostgreSQL URL: write postgresql://user@host:5432/database, or only a name."
        ) from error


def _print_history(history: InstanceHistory, *, as_json: bool) -> None:
    if history.unreadable:
        ((partition, offset), error), *_ = history.unreadable.items()
        count = f"{len(history.unreadable):,} of its records cannot be read"
        typer.echo(f"{count} and are not shown, the first one at {partition}:{offset}: {error}", err=True)
    if not history.readings:
        which = "other " if history.unreadable else ""
        typer.echo(f"The topic has no {which}records of {history.instance} in that time range.", err=True)
        raise typer.Exit(1)
    if as_json:
        json.dump(history.as_json(), sys.stdout, indent=2, default=str)
        sys.stdout.write("\n")
        return
    for line in server_lines(explain_server(history.instance, list(history.events())), tables.console().width):
        typer.echo(line)
