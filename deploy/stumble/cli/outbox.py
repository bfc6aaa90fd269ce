"""`stumble outbox`: list, verify and export the outboxes of this host, and send rejected events again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.filesize import decimal
from rich.table import Table

from stumble.cli import tables
from stumble.cli.ask import FormatOption, OutputFormat, examples
from stumble.outbox import OutboxCursor
from stumble.outbox.folders import RELAY, OutboxFolder
from stumble.relay import inspection
from stumble.relay.authority import Authority, load_authority
from stumble.relay.cursors import Progress
from stumble.relay.rejected import read_rejected
from stumble.relay.resend import resend_rejected
from stumble.relay.settings import RelaySettings
from stumble.runtime.error_texts import explain_error
from stumble.settings.base import load_settings
from stumble.wire.errors import StumbleError
from stumble.wire.text import printable_text

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, verify and export the outboxes of this host, and send rejected events again.",
)


_WIDE = 120
_LONG = {"Folder", "Reason"}


Directory = Annotated[Path | None, typer.Option("--outbox-dir", help="Outbox directory.", envvar="STUMBLE_OUTBOX_DIR")]
Folder = Annotated[str | None, typer.Argument(help="Folder of one process, as `ls` shows it; by default all folders.")]


def _directory(given: Path | None) -> tuple[Path, frozenset[int]]:
    """Return the outbox directory, and the users whose folders the relay serves."""
    directory, authority = _authority(given)
    return directory, authority.users


def _authority(given: Path | None) -> tuple[Path, Authority]:
    """Return the outbox directory, and what the relay accepts from whom."""
    settings = load_settings(outbox_dir=given)
    directory = Path(settings.outbox_dir)
    if not directory.is_dir():
        raise StumbleError(f"The outbox directory {directory} does not exist; set --outbox-dir.")
    return directory, load_authority(settings, RelaySettings())


@contextmanager
def _reporting(folder: OutboxFolder, unreadable: list[str]) -> Iterator[None]:
    """Report on standard error that a folder cannot be read, and add its key to a list; other folders are not lost."""
    try:
        yield
    except FileNotFoundError:
        pass  # the relay removes finished folders
    except (OSError, StumbleError) as error:
        unreadable.append(folder.key)
        typer.echo(f"Folder {printable_text(folder.key)} cannot be read: {explain_error(error)}", err=True)


@app.command(
    "ls",
    epilog=examples("stumble outbox ls", "stumble outbox ls --format json | jq '.folders[] | select(.unsent > 0)'"),
)
def list_(*, outbox_dir: Directory = None, format_: FormatOption = OutputFormat.TABLE) -> None:
    """List the folders, their unsent events, and the events that the broker or the relay rejected."""
    directory, users = _directory(outbox_dir)
    known = inspection.cursors(directory)
    reports: list[inspection.FolderReport] = []
    unreadable: list[str] = []
    for folder in inspection.find(directory, users, None):
        with _reporting(folder, unreadable):
            reports.append(inspection.report(folder, known.get(folder.key, Progress())))
    rejected = [{name: row[name] for name in row if name != "body"} for row in read_rejected(directory / RELAY)]
    if format_ is OutputFormat.JSON:
        tables.print_json({"folders": [asdict(report) for report in reports], "rejected": rejected})
    else:
        out = tables.console()
        if reports or not unreadable:
            out.print(_folders(reports, wide=out.width >= _WIDE) if reports else "No process has written events here.")
        if rejected:
            out.print(f"\n{len(rejected)} rejected events (stumble outbox export --rejected):")
            out.print(_rejected(rejected, wide=out.width >= _WIDE))
    if unreadable:
        raise typer.Exit(1)


def _folders(reports: list[inspection.FolderReport], *, wide: bool) -> Table:
    table = _grid("Folder", "Process", "Unsent", "Oldest", "Refused")
    for name in ("User", "Bytes", "Sent", "Rejected", "Damaged") if wide else ():
        table.add_column(name, no_wrap=True)
    for report in reports:
        alive = "alive" if report.alive else "ended"
        row: list[Any] = [report.folder, alive, report.unsent, _age(report.oldest_unsent_at), report.refused or ""]
        if wide:
            row += [report.user, decimal(report.bytes), report.sent, report.rejected or "", report.quarantined or ""]
        table.add_row(*(tables.plain(value) for value in row))
    return table


def _rejected(rows: list[dict[str, Any]], *, wide: bool) -> Table:
    table = _grid("Event", "Size", "Reason", *(["Rejected (UTC)", "Folder"] if wide else []))
    for row in rows:
        cells = [row["event_id"], decimal(row["size"]), row["reason"]]
        if wide:
            cells += [tables.clock(row["rejected_at"]), row["folder"]]
        table.add_row(*(tables.plain(cell) for cell in cells))
    return table


@app.command(epilog=examples("stumble outbox verify", "stumble outbox verify uid-0/nova-compute-812-3fa1b2c4"))
def verify(folder: Folder = None, *, outbox_dir: Directory = None, format_: FormatOption = OutputFormat.TABLE) -> None:
    """Check every record on disk; exit status 1 if an accepted record is damaged.

    No manual repair is necessary: the relay cuts torn records, moves damaged ones into quarantine and continues.
    """
    directory, users = _directory(outbox_dir)
    states: list[inspection.FolderState] = []
    unreadable: list[str] = []
    for outbox_folder in inspection.find(directory, users, folder):
        with _reporting(outbox_folder, unreadable):
            states.append(inspection.verify(outbox_folder))
    if format_ is OutputFormat.JSON:
        tables.print_json([asdict(state) | {"sound": state.is_sound} for state in states])
    else:
        table = _grid("Folder", "", "Records", "Damaged", "Bytes", "Torn bytes")
        for state in states:
            result = "ok" if state.is_sound else "damaged"
            counts = [state.records, state.damaged, state.damaged_bytes, state.torn_bytes]
            table.add_row(*(tables.plain(cell) for cell in [state.folder, result, *counts]))
        tables.console().print(table)
    raise typer.Exit(0 if all(state.is_sound for state in states) and not unreadable else 1)


@app.command(
    epilog=examples(
        "stumble outbox export > unsent.jsonl",
        "stumble outbox export uid-0/nova-compute-812-3fa1b2c4 --all | jq .event.action",
        "stumble outbox export --rejected",
    ),
)
def export(
    folder: Folder = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Include delivered events that are still on disk.")] = False,
    rejected: Annotated[bool, typer.Option("--rejected", help="Only rejected events, bytes as base64.")] = False,
    outbox_dir: Directory = None,
) -> None:
    """Write the events that are not delivered yet as JSON lines; nothing is removed."""
    directory, users = _directory(outbox_dir)
    if rejected:
        for row in read_rejected(directory / RELAY):
            tables.print_line(row)
        return
    known = inspection.cursors(directory)
    unreadable: list[str] = []
    for outbox_folder in inspection.find(directory, users, folder):
        progress = Progress() if everything else known.get(outbox_folder.key, Progress())
        with _reporting(outbox_folder, unreadable):
            for event in inspection.events(outbox_folder, OutboxCursor(progress.segment, progress.offset)):
                tables.print_line(event)
    if unreadable:
        raise typer.Exit(1)


@app.command(epilog=examples("STUMBLE_CONFIG=/etc/stumble/relay.toml stumble outbox resend"))
def resend(*, outbox_dir: Directory = None) -> None:
    """Write rejected events to the outbox again, after `hosts` in [relay] or the broker's limit was corrected.

    Run it as root with the relay's configuration, after a restart of the relay. It writes the events that the
    configuration allows now; ids stay the same, so an event that is sent twice counts once. Exit status 1 if some
    events are still not allowed. Rejected events stay in relay/rejected.jsonl: then move this file away.
    """
    directory, authority = _authority(outbox_dir)
    try:
        result = resend_rejected(directory, authority)
    except PermissionError as error:
        raise StumbleError(
            f"{error.filename}: this user may not read it; run the command as root or as the relay's user."
        ) from None
    out = tables.console()
    out.print(f"{result.written} events are in the outbox again.")
    for reason, count in result.skipped.most_common():
        out.print(tables.plain(f"{count} events are not: {reason}."))
    raise typer.Exit(1 if result.skipped else 0)


def _grid(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=name not in _LONG, overflow="fold", min_width=16 if name in _LONG else None)
    return table


def _age(at_us: int | None) -> str:
    if at_us is None:
        return ""
    seconds = max(0, int(time.time() - at_us / 1e6))
    return (
        f"{seconds // 3600} h {seconds % 3600 // 60} min"
        if seconds >= 3600
        else f"{seconds // 60} min {seconds % 60} s"
    )
