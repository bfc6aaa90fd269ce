"""`stumble rederive`: derive stored requests again after a change of rules."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from stumble.cli.ask import examples, parse_time
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.ingest.rederive import InstanceSelection, RederiveReport
from stumble.ingest.rederive import rederive as run
from stumble.store.adapters import register_adapters
from stumble.store.connect import connect
from stumble.store.incarnation import connect_writer
from stumble.store.version import require_current

app = typer.Typer(add_completion=False)


@app.command(
    epilog=examples(
        "stumble rederive --dry-run",
        "stumble rederive",
        "stumble rederive --instance 15db147f-b35b-4889-a0a8-9c0d0d0fd501",
        "stumble rederive --since 2026-01-01T00:00:00+00:00 --from-events",
    ),
)
def rederive(
    *,
    instance: Annotated[UUID | None, typer.Option(help="Only this instance.", show_default=False)] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only instances whose facts last changed since then: 15m, 2h, 3d or an ISO 8601 time.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Only instances whose facts last changed before then.", show_default=False),
    ] = None,
    from_events: Annotated[
        bool,
        typer.Option("--from-events", help="Rebuild all facts from the stored events first, not only failing ones."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, change nothing.")] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Apply this program's rules to all stored facts, and publish the corrections.

    Problems are made again, too: from the messages in the events that are still stored. Projectors may run at the same
    time. Each corrected record gets its next revision on the topics, and the counters
    change by the difference.
    """
    settings = settings_of(database_url)
    url = settings.database_url.get_secret_value()
    require_current(url)
    selection = InstanceSelection(str(instance) if instance else None, parse_time(since), parse_time(until))
    with (connect if dry_run else connect_writer)(url, application="stumble-rederive") as connection:
        register_adapters(connection)
        report = run(
            connection,
            settings.kafka.topics.actions,
            selection,
            from_events=from_events,
            dry_run=dry_run,
            on_progress=lambda so_far: typer.echo(f"{so_far.instances} instances …", err=True),
        )
    typer.echo(_summary(report, dry_run=dry_run))


def _summary(report: RederiveReport, *, dry_run: bool) -> str:
    change = "would change" if dry_run else "changed"
    return (
        f"{report.instances} instances derived again: {report.requests} requests and {report.failures} failures "
        f"{change}, {report.publications} corrections {'would be ' if dry_run else ''}published."
    )
