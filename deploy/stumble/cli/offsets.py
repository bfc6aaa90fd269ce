"""`stumble offsets`: show the store's offsets and what was lost, and set the offset from which it reads on."""

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
from stumble.projector.offsets_tool import OffsetError, OffsetReport, OffsetsTool, Target
from stumble.projector.partition_state import PartitionState, what_to_do
from stumble.runtime.times import parse_when, rfc3339
from stumble.store.connect import connect
from stumble.store.version import require_current
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False, no_args_is_help=True)
PartitionOption = Annotated[list[int] | None, typer.Option("--partition", min=0, help="Partition; repeatable.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, change nothing.")]


@app.callback()
def offsets() -> None:
    """Show the store's offsets in the topic, and change them: the projector never skips a record by itself.

    Projectors may run at the same time: a projector that has read ahead discards those records and continues from the
    new offset within seconds. An event is stored once, however often it is read.
    """


@app.command(epilog=examples("stumble offsets show", "stumble offsets show --format json | jq '.[].stopped'"))
def show(*, database_url: DatabaseOption = None, format_: FormatOption = OutputFormat.TABLE) -> None:
    """Show for each partition the store's offset, the topic's offsets, what is lost and since when."""
    with _open_tool(database_url) as tool:
        reports = list(tool.all())
    if format_ is OutputFormat.JSON:
        tables.print_json([_plain(report) for report in reports])
        return
    table = tables.empty("Partition", "Store offset", "Topic offsets", "Behind", "Last stored (UTC)", "Description")
    for report in reports:
        cells = [
            str(report.partition),
            "" if report.stored is None else str(report.stored),
            _range(report),
        ]
        read = tables.clock(rfc3339(report.last_record_at)) if report.last_record_at else ""
        table.add_row(*cells, str(report.behind), read, _state(report))
    tables.console().print(table)
    if any(report.state.needs_operator for report in reports):
        tables.console().print(
            "Stopped partitions continue after `stumble offsets resume` (--dry-run shows the offset)."
        )
    for report in reports:
        if not report.state.needs_operator and (todo := what_to_do(report.status)):
            tables.console().print(Text(f"Partition {report.partition}: {todo}"))


@app.command(epilog=examples("stumble offsets resume --dry-run", "stumble offsets resume --partition 3"))
def resume(
    *, partition: PartitionOption = None, dry_run: DryRunOption = False, database_url: DatabaseOption = None
) -> None:
    """Continue partitions whose next record is lost, at the oldest record that the topic has.

    A partition stops when its next record is no longer in the topic: retention deleted it, or the topic was truncated
    or created again. This command confirms the loss and shows it. It does not change partitions that are read.
    """
    with _open_tool(database_url) as tool:
        chosen = [one for one in tool.all() if not partition or one.partition in partition]
        waiting = [one for one in chosen if what_to_do(one.status)]
        if not waiting:
            typer.echo("No partition is stopped; nothing to do.")
        for report in waiting:
            if not report.state.needs_operator:
                typer.echo(f"partition {report.partition}: {report.description}. {what_to_do(report.status)}")
                continue
            offset: int | None = report.low
            if not dry_run:
                _, offset = tool.move(report.partition, "oldest", may_skip=True, only_stopped=True)
            typer.echo(f"partition {report.partition}: {report.description}; {_continues(offset, dry_run=dry_run)}")


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
        str, typer.Option(metavar="OFFSET", help="oldest, newest, an offset, a duration back (2h) or an ISO 8601 time.")
    ],
    partition: PartitionOption = None,
    all_: Annotated[bool, typer.Option("--all", help="All partitions.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Allow skipping records that can still be read.")] = False,
    dry_run: DryRunOption = False,
    database_url: DatabaseOption = None,
) -> None:
    """Set the offset from which the store reads on. Backward is harmless; forward skips records and needs --skip."""
    if bool(partition) == all_:
        raise typer.BadParameter("give --partition or --all")
    target = _target(to)
    with _open_tool(database_url) as tool:
        result = {
            report.partition: report for report in tool.all() if report.state is not PartitionState.PARTITION_MISSING
        }
        for number in sorted(result if all_ else set(partition or ())):
            if number not in result:
                raise OffsetError(f"The topic {tool.topic} has no partition {number}.")
            typer.echo(f"partition {number}: {_set(tool, result[number], target, skip=skip, dry_run=dry_run)}")


def _set(tool: OffsetsTool, report: OffsetReport, target: Target, *, skip: bool, dry_run: bool) -> str:
    if dry_run:
        offset: int | None = tool.resolve(report, target)
    else:
        report, offset = tool.move(report.partition, target, may_skip=skip)
    if offset is None or offset == report.stored:
        return f"is already at {report.stored}"
    was = f"was at {report.stored}" if report.stored is not None else "was not read yet"
    skipped = tool.skipped(report, offset)
    if skipped:
        change = f"{skipped} records are skipped" + (" (needs --skip)" if dry_run and not skip else "")
    else:
        again = (report.stored or 0) - offset
        change = (
            f"{again} records are read again"
            if report.state is PartitionState.READING and again > 0
            else report.description
        )
    return f"{was}; {change}; {_continues(offset, dry_run=dry_run)}"


@contextmanager
def _open_tool(database_url: str | None) -> Iterator[OffsetsTool]:
    settings = settings_of(database_url)
    url = settings.database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-offsets") as connection, OffsetsTool(settings.kafka, connection) as tool:
        yield tool


def _target(text: str) -> Target:
    if text in ("oldest", "newest"):
        return text  # type: ignore[return-value]  # mypy does not narrow a str by `in`
    if text.isdigit():
        return int(text)
    try:
        return parse_when(text)
    except ValueError:
        raise StumbleError(
            f"{text!r} is not a valid offset: give oldest, newest, an offset, a duration (2h) or an ISO 8601 time."
        ) from None


def _continues(offset: int | None, *, dry_run: bool) -> str:
    if offset is None:
        return "already continues"
    return f"would continue at {offset}" if dry_run else f"continues at {offset}"


def _range(report: OffsetReport) -> str:
    if report.state is PartitionState.PARTITION_MISSING:
        return ""
    return f"{report.low} to {report.high - 1}" if report.high > report.low else f"empty (ends at {report.high})"


def _state(report: OffsetReport) -> Text:
    if what_to_do(report.status):
        return Text(f"{report.state.value}: {report.description}", style="bold red")
    return Text(report.description)


def _plain(report: OffsetReport) -> dict[str, Any]:
    lost, is_stopped = report.lost, bool(what_to_do(report.status))
    return {
        "partition": report.partition,
        "state": report.state.value,
        "stopped": is_stopped,
        "stopped_since": _text(report.status.since) if is_stopped else None,
        "stored": report.stored,
        "low": report.low,
        "high": report.high,
        "high_watermark": report.high if report.high_watermark is None else report.high_watermark,
        "behind": report.behind,
        "lost_from": lost[0] if lost else None,
        "lost_to": lost[1] if lost else None,
        "last_record_at": _text(report.last_record_at),
        "oldest_at": _text(report.oldest_at),
        "transaction_at": _text(report.transaction_at),
        "description": report.description,
    }


def _text(time: datetime | None) -> str | None:
    return rfc3339(time) if time else None
