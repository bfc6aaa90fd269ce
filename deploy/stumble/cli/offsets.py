"""`stumble offsets`: where the store is in the topic, what was lost, and going on elsewhere on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from stumble.cli import tables
from stumble.cli.ask import FormatOption, OutputFormat, examples
from stumble.cli.roles import DatabaseOption, settings_of
from stumble.projector.offsets_tool import Aim, OffsetError, Standing, Standings
from stumble.runtime.times import parse_when, rfc3339
from stumble.store.connect import connect
from stumble.store.version import require_current
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False, no_args_is_help=True)
PartitionOption = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="This partition; may be repeated.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]


@app.callback()
def offsets() -> None:
    """Show where the store is in the topic; say on purpose what the projector never decides alone.

    Projectors may run meanwhile: what one had read ahead is not written, and it goes on from the new place within
    seconds. Events that the store knows stay single, however often they are read.
    """


@app.command(epilog=examples("stumble offsets show", "stumble offsets show --format json | jq '.[].stopped'"))
def show(*, database_url: DatabaseOption = None, format_: FormatOption = OutputFormat.TABLE) -> None:
    """Show each partition: where the store is, what the topic holds, what is lost and since when."""
    with _standings(database_url) as standings:
        found = list(standings.all())
    if format_ is OutputFormat.JSON:
        tables.print_json([_plain(standing) for standing in found])
        return
    table = tables.empty("Partition", "Store is at", "Topic holds", "Behind", "Last taken in (UTC)", "Standing")
    for standing in found:
        cells = [str(standing.partition), "" if standing.stored is None else str(standing.stored), _held(standing)]
        read = tables.clock(rfc3339(standing.last_record_at)) if standing.last_record_at else ""
        table.add_row(*cells, str(standing.behind), read, _state(standing))
    tables.console().print(table)
    if any(standing.stopped for standing in found):
        tables.console().print("What is stopped goes on after `stumble offsets resume` (--dry-run shows from where).")


@app.command(epilog=examples("stumble offsets resume --dry-run", "stumble offsets resume --partition 3"))
def resume(
    *, partition: PartitionOption = None, dry_run: DryRunOption = False, database_url: DatabaseOption = None
) -> None:
    """Go on where records were lost: say what is lost, and read on at the oldest record that the topic has.

    A partition whose next record is gone (retention, a topic cut back or made anew) stands still until this says that
    it is known. Partitions that can go on are left alone.
    """
    with _standings(database_url) as standings:
        stopped = [one for one in standings.all() if one.stopped and (not partition or one.partition in partition)]
        if not stopped:
            typer.echo("No such partition is stopped: nothing is to be done.")
        for standing in stopped:
            offset: int | None = standing.low
            if not dry_run:
                _, offset = standings.move(standing.partition, "oldest", may_skip=True, only_stopped=True)
            typer.echo(f"partition {standing.partition}: {standing.told}; {_went(offset, dry_run=dry_run)}")


@app.command(
    "set",
    epilog=examples(
        "stumble offsets set --partition 3 --to oldest --dry-run",
        "stumble offsets set --all --to 2026-01-31T12:00:00Z",
        "stumble offsets set --partition 3 --to 12345 --skip",
    ),
)
def set_(
    *,
    to: Annotated[
        str, typer.Option(metavar="PLACE", help="oldest, newest, an offset, a span back (2h) or an ISO time.")
    ],
    partition: PartitionOption = None,
    all_: Annotated[bool, typer.Option("--all", help="All partitions.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Even if records that can be read are passed over.")] = False,
    dry_run: DryRunOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Let the store read on elsewhere. Backwards is harmless; forwards passes over records and needs --skip."""
    if bool(partition) == all_:
        raise typer.BadParameter("name partitions by --partition, or say --all")
    aim = _aim(to)
    with _standings(database_url) as standings:
        found = {standing.partition: standing for standing in standings.all() if standing.verdict != "GONE"}
        for number in sorted(found if all_ else set(partition or ())):
            if number not in found:
                raise OffsetError(f"The topic {standings.topic} has no partition {number}.")
            typer.echo(f"partition {number}: {_set(standings, found[number], aim, skip=skip, dry_run=dry_run)}")


def _set(standings: Standings, standing: Standing, aim: Aim, *, skip: bool, dry_run: bool) -> str:
    if dry_run:
        offset: int | None = standings.target(standing, aim)
    else:
        standing, offset = standings.move(standing.partition, aim, may_skip=skip)
    if offset is None or offset == standing.stored:
        return f"is at {standing.stored} already"
    was = f"was at {standing.stored}" if standing.stored is not None else "was not read yet"
    skipped = standings.skipped(standing, offset)
    if skipped:
        change = f"{skipped} records are passed over" + (" (needs --skip)" if dry_run and not skip else "")
    else:
        again = (standing.stored or 0) - offset
        change = f"{again} records are read again" if standing.verdict == "FINE" and again > 0 else standing.told
    return f"{was}; {change}; {_went(offset, dry_run=dry_run)}"


@contextmanager
def _standings(database_url: str | None) -> Iterator[Standings]:
    settings = settings_of(database_url)
    url = settings.database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-offsets") as connection, Standings(settings.kafka, connection) as found:
        yield found


def _aim(text: str) -> Aim:
    if text in ("oldest", "newest"):
        return text  # type: ignore[return-value]  # mypy does not narrow a text by `in`
    if text.isdigit():
        return int(text)
    try:
        return parse_when(text)
    except ValueError:
        raise StumbleError(
            f"{text!r} is no place: give oldest, newest, an offset, a span such as 2h, or an ISO 8601 time."
        ) from None


def _went(offset: int | None, *, dry_run: bool) -> str:
    if offset is None:
        return "goes on by itself by now"
    return f"would go on at {offset}" if dry_run else f"goes on at {offset}"


def _held(standing: Standing) -> str:
    if standing.verdict == "GONE":
        return ""
    return (
        f"{standing.low} to {standing.high - 1}"
        if standing.high > standing.low
        else f"nothing (ends at {standing.high})"
    )


def _state(standing: Standing) -> Text:
    return Text(f"{standing.verdict}: {standing.told}", style="bold red") if standing.stopped else Text(standing.told)


def _plain(standing: Standing) -> dict[str, Any]:
    lost = standing.lost
    return {
        "partition": standing.partition,
        "verdict": standing.verdict,
        "stopped": standing.stopped,
        "stored": standing.stored,
        "low": standing.low,
        "high": standing.high,
        "behind": standing.behind,
        "lost_from": lost[0] if lost else None,
        "lost_to": lost[1] if lost else None,
        "last_record_at": _text(standing.last_record_at),
        "oldest_at": _text(standing.oldest_at),
        "told": standing.told,
    }


def _text(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None
