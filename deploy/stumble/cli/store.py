"""`stumble store`: migrate and rebuild the database, grant rights on it, show its size."""

from __future__ import annotations

import json
from typing import Annotated

import psycopg
import typer

from stumble.audit.audit import Audit, AuditScope
from stumble.audit.repair import repair_store
from stumble.cli.ask import examples
from stumble.cli.audit import exit_status, progress, verdict
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.cli.stats import stats_lines
from stumble.projector.settings import ProjectorSettings
from stumble.store.connect import StoreError, connect, database_label
from stumble.store.incarnation import (
    begin_incarnation,
    ensure_incarnation,
    read_incarnation,
    require_restored,
)
from stumble.store.migrate import migrate as migrate_store
from stumble.store.rights import Process, grant_statements, is_owner
from stumble.store.session import NO_TIME_LIMITS
from stumble.store.stats import load_stats
from stumble.store.version import require_current

app = typer.Typer(add_completion=False)


@app.callback()
def store() -> None:
    """Migrate and rebuild the database, grant rights on it, show its size."""


@app.command(epilog=examples("stumble store migrate", "stumble store migrate --restored"))
def migrate(
    *,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored",
            help="The database was just restored from a backup: check that it is complete and unused, and begin a new "
            "incarnation of the store.",
        ),
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Migrate the store to this program's version; safe to repeat, and on several hosts at the same time."""
    url = settings_of(database_url).database_url.get_secret_value()
    if restored:
        with connect(url, application="stumble-migrate") as connection:
            require_restored(connection, url)
    before, after = migrate_store(url)
    change = f"is at version {after}" if before == after else f"was migrated from version {before or 'none'} to {after}"
    typer.echo(f"The store {database_label(url)} {change}.")
    with connect(url, application="stumble-migrate") as connection:
        known = read_incarnation(connection)
        now = begin_incarnation(connection, "a backup was restored") if restored else ensure_incarnation(connection)
    if known != now:
        typer.echo(
            f"It begins a new incarnation: {now.reason}. Projectors read the topic again from the offsets in it; until "
            "they have read what it holds now, /metrics has no counters of the store."
        )


@app.command(
    epilog=examples(
        "stumble store grant projector projector_role",
        "stumble store grant auditor auditor_role",
        "stumble store grant api api_role --dry-run",
    )
)
def grant(
    process: Annotated[Process, typer.Argument(help="What the role runs.")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The role in the database that gets the rights.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements; change nothing.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Grant a role the rights that a process needs, and no others; run it as the owner of the store.

    The auditor is `stumble audit` without --repair, and whoever reads the store with SQL: it may only read.
    """
    if dry_run:
        for statement in grant_statements(process, role):
            typer.echo(f"{statement.as_string(None)};")
        return
    url = settings_of(database_url).database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-grant") as connection, connection.transaction():
        if not is_owner(connection):  # PostgreSQL would only warn that it grants nothing
            raise StoreError(
                f"{connection.info.user} may not grant rights on the store: set STUMBLE_DATABASE_URL to its owner, the "
                "role that ran `stumble store migrate`."
            )
        try:
            for statement in grant_statements(process, role):
                connection.execute(statement)
        except psycopg.errors.UndefinedObject as error:
            raise StoreError(f"There is no role {role} in the database: create it (createuser).") from error
    typer.echo(f"{role} may do in the store {database_label(url)} what the {process} does.")


@app.command(epilog=examples("stumble store rebuild", "stumble store rebuild --from-nothing"))
def rebuild(
    *,
    from_nothing: Annotated[
        bool, typer.Option("--from-nothing", help="Empty the derived tables first; stop all projectors before.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept-loss", help="Empty them although the topic no longer has its oldest records.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Rebuild the derived tables from the topic.

    The exit status is 0 if the store then agrees with the topic, 3 if some records cannot be read here, otherwise 1.
    Nothing is published or counted twice: only changes are published, as corrections. Records that are older than the
    topic stay unchanged. Without --from-nothing, projectors may run at the same time.
    """
    settings = settings_of(database_url)
    audit = Audit(settings, ProjectorSettings(), AuditScope(), on_progress=progress())
    try:
        if from_nothing:
            audit.empty_first(accept_loss=accept)
        report = audit.run()
        if not report.equal:
            report = repair_store(audit)
    finally:
        audit.close()
    typer.echo(", ".join(f"{count:,} {what}" for what, count in report.repaired.items()) or "There was nothing to do.")
    typer.echo(verdict(report))
    raise typer.Exit(exit_status(report))


@app.command(epilog=examples("stumble store stats", "stumble store stats --exact --json"))
def stats(
    *,
    exact: Annotated[
        bool, typer.Option("--exact", help="Count events, requests and failures exactly; this reads all of them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Show the size of the store by table and index, and whether vacuum keeps up."""
    url = settings_of(database_url).database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-stats", limits=NO_TIME_LIMITS) as connection:
        result = load_stats(connection, exact=exact)
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=2, default=str))
        return
    for line in stats_lines(result):
        typer.echo(line)
