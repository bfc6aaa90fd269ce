"""`stumble dlq`: list, count, export and redrive the records that could not be processed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from stumble.cli import tables
from stumble.cli.ask import FormatOption, OutputFormat, examples
from stumble.cli.dlq_filter import selecting
from stumble.cli.roles import settings_of
from stumble.deadletters import json_views
from stumble.deadletters.dead_letter import RecordId
from stumble.deadletters.selection import DeadLetterFilter
from stumble.deadletters.service import DeadLetterService, RedriveOptions, RedriveResult
from stumble.deadletters.stats import DeadLetterStats
from stumble.projector.offsets_tool import OffsetsTool
from stumble.store.connect import connect
from stumble.store.version import require_current
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False, no_args_is_help=True)

_PROGRESS_SECONDS = 2.0
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="RECORD", help="Start at this partition:offset of the dead letter topic."),
]
RecordArgument = Annotated[str, typer.Argument(metavar="RECORD", help="partition:offset, as `ls` shows it.")]


@app.callback()
def dlq() -> None:
    """List, count, export and redrive (send again) the records that could not be processed.

    The commands read Kafka (STUMBLE_KAFKA__…) and the store (STUMBLE_DATABASE_URL) directly. The store records which
    dead letters were sent again; the dead letter topic itself does not change.
    """


@app.command(
    "ls",
    epilog=examples(
        "stumble dlq ls",
        "stumble dlq ls --since 1h --stage decode",
        "stumble dlq ls --exception InvalidEvent --state WAITING --format json | jq '.items[].event_id'",
    ),
)
@selecting
def list_(
    *,
    selection: DeadLetterFilter,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of dead letters.")] = 50,
    start: FromOption = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """List dead letters, oldest first, with error, state and the expected result of sending them again."""
    items: list[dict[str, Any]] = []
    more: str | None = None
    with _open_service() as service:
        for entry in service.entries(selection, _record_id(start)):
            if len(items) == limit:
                more = str(entry.dead_letter.record_id)
                break
            items.append(json_views.brief(entry))
    if format_ is OutputFormat.JSON:
        tables.print_json({"items": items, "next": more})
        return
    out = tables.console()
    if not items:
        out.print("No dead letter matches." if service.looked_at else "There are no dead letters.")
        return
    out.print(_listed(items))
    if more:
        out.print(f"There are more: continue with --from {more}, or raise --limit.")


@app.command(epilog=examples("stumble dlq show 0:17", "stumble dlq show 0:17 --format json | jq .headers"))
def show(record_id: RecordArgument, *, format_: FormatOption = OutputFormat.TABLE) -> None:
    """Show all of one dead letter: the error, the event if it can be decoded, the bytes."""
    with _open_service() as service:
        entry = service.one(_record_id(record_id) or RecordId(0, 0))
    if entry is None:
        raise StumbleError(f"The dead letter topic has no record {record_id}; see `stumble dlq ls`.")
    result = json_views.whole(entry)
    if format_ is OutputFormat.JSON:
        tables.print_json(result)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _flat(result):
        table.add_row(name.replace("_", " "), tables.plain(value))
    tables.console().print(table)


@app.command(epilog=examples("stumble dlq stats", "stumble dlq stats --since 1d --state WAITING --format json"))
@selecting
def stats(
    *,
    selection: DeadLetterFilter,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Count dead letters by stage, exception and message, the most frequent first."""
    result = DeadLetterStats()
    with _open_service() as service:
        for chunk in _with_progress(service, service.chunks(selection)):
            for entry in chunk:
                result.add(entry)
    if format_ is OutputFormat.JSON:
        tables.print_json({**json_views.statistics(result), "looked_at": service.looked_at})
    elif not result.total.count:
        tables.console().print("No dead letter matches." if service.looked_at else "There are no dead letters.")
    else:
        tables.console().print(_counted(result))


@app.command(
    epilog=examples("stumble dlq export > dead.jsonl", "stumble dlq export --stage decode | jq -r .value_base64")
)
@selecting
def export(
    *,
    selection: DeadLetterFilter,
) -> None:
    """Write dead letters as JSON lines, bytes as base64; nothing is removed from the topic."""
    with _open_service() as service:
        for chunk in _with_progress(service, service.chunks(selection)):
            for entry in chunk:
                tables.print_line(json_views.whole(entry))


@app.command(
    epilog=examples(
        "stumble dlq redrive --dry-run",
        "stumble dlq redrive",
        "stumble dlq redrive --stage store --since 2h",
        "stumble dlq redrive --state PARKED --force --limit 10",
    )
)
@selecting
def redrive(
    *,
    selection: DeadLetterFilter,
    start: FromOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of records to send.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show for each dead letter what would happen, send nothing.")
    ] = False,
    unreadable: Annotated[
        bool, typer.Option("--unreadable", help="Send records that this version cannot read, too.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Send parked dead letters, too.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send dead letters that were sent before, too.")] = False,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Send records again, with unchanged bytes, key and headers, to the topic and partition that they came from.

    Kafka gives them a new time. The command sends the dead letters that are in the topic when it starts and that this
    version can read, each once; if it is interrupted, run it again to continue. A record that becomes a dead letter
    again has its replays counted and is parked after the third (STUMBLE_DLQ_MAX_REPLAYS). Exit status 1 if the broker
    refused records.
    """
    done: Counter[str] = Counter()
    outlooks: Counter[str] = Counter()
    with _open_service() as service:
        options = RedriveOptions(dry_run, force, again, unreadable)
        for chunk in _with_progress(
            service, service.redrive(selection, options, start=_record_id(start), limit=limit), done
        ):
            done.update(item.done for item in chunk)
            outlooks.update(item.entry.seen.outlook for item in chunk if item.done in ("SENT", "WOULD_SEND"))
            for item in chunk:
                if format_ is OutputFormat.JSON:
                    tables.print_line(json_views.outcome(item))
                elif dry_run or item.done == "REFUSED":
                    tables.console().print(_line(item), soft_wrap=True)
        summary = {"looked_at": service.looked_at, **{name.lower(): count for name, count in sorted(done.items())}}
    if format_ is OutputFormat.JSON:
        tables.print_line({"summary": summary})
    else:
        tables.console().print(_summary(done, outlooks, service.looked_at, dry_run=dry_run), soft_wrap=True)
    if done["REFUSED"]:
        raise typer.Exit(1)


@app.command(
    "let-through",
    epilog=examples("stumble dlq let-through --partition 3 --dry-run", "stumble dlq let-through --partition 3"),
)
def let_through(
    *,
    partition: Annotated[list[int], typer.Option("--partition", min=0, help="Partition; repeatable.")],
    until: Annotated[
        int | None,
        typer.Option(min=0, metavar="OFFSET", help="Only before this offset; by default the topic's current end."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen, change nothing.")] = False,
) -> None:
    """Allow any number of bad records of a partition to go to the dead letter topic, up to an offset.

    The projector stops a partition with too many bad records, in a row or among its last thousand
    (STUMBLE_PROJECTOR_BREAKER_…): nothing is dropped, and the partition resumes when its next record can be processed.
    If the records will not become readable, allow them with this command; the limit applies again from the offset on.
    The projector continues within seconds.
    """
    settings = settings_of()
    url = settings.database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-dlq") as connection, OffsetsTool(settings.kafka, connection) as tool:
        for number in sorted(set(partition)):
            end = tool.let_through(number, until, dry_run=dry_run)
            would = "would go" if dry_run else "go"
            typer.echo(f"partition {number}: bad records before offset {end} {would} to the dead letter topic")


@contextmanager
def _open_service() -> Iterator[DeadLetterService]:
    settings = settings_of()
    url = settings.database_url.get_secret_value()
    require_current(url)
    with (
        connect(url, application="stumble-dlq") as connection,
        DeadLetterService(settings.kafka, connection) as service,
    ):
        yield service


def _record_id(text: str | None) -> RecordId | None:
    try:
        return RecordId.read(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _with_progress(
    service: DeadLetterService, chunks: Iterable[Any], done: Counter[str] | None = None
) -> Iterator[Any]:
    """Yield the chunks, and print progress to standard error every two seconds."""
    started = reported = time.monotonic()
    for chunk in chunks:
        yield chunk
        now = time.monotonic()
        if now - reported >= _PROGRESS_SECONDS:
            reported = now
            rate = service.looked_at / (now - started)
            sent = f", {done['SENT'] + done['WOULD_SEND']} of them to send" if done else ""
            typer.echo(f"{service.looked_at} of {len(service.topic)} dead letters{sent}, {rate:.0f}/s …", err=True)


def _listed(items: list[dict[str, Any]]) -> Table:
    table = tables.empty("Record", "Time (UTC)", "State", "Stage", "Error", "Action", "From", "Replays", "Outlook")
    for item in items:
        origin = item["origin"]
        table.add_row(
            f"{item['partition']}:{item['offset']}",
            tables.clock(item["at"]),
            _state(item["state"]),
            tables.plain(item["stage"]),
            tables.plain(f"{item['exception'].rpartition('.')[2]}: {item['reason']}"),
            tables.plain(item["action"]),
            f"{origin['partition']}:{origin['offset']}" if origin else "",
            str(item["replays"] or ""),
            item["outlook"].lower(),
        )
    return table


def _counted(result: DeadLetterStats) -> Table:
    table = tables.empty("Count", "Stage", "Exception", "Message", "Waiting", "Sent again", "Parked", "First (UTC)")
    table.add_column("Last (UTC)")
    table.add_column("Example")
    for reason, group in result.by_count():
        states = [str(group.states[name] or "") for name in ("WAITING", "REDRIVEN", "PARKED")]
        times = [tables.clock(json_views.moment(value)) for value in (group.first_at, group.last_at)]
        cells = [tables.plain(text) for text in reason]
        table.add_row(str(group.count), *cells, *states, *times, str(group.example or ""))
    total = result.total
    table.add_section()
    sums = [str(total.states[name] or "") for name in ("WAITING", "REDRIVEN", "PARKED")]
    table.add_row(str(total.count), "", "", "", *sums)
    return table


def _line(item: RedriveResult) -> Text:
    verb = {"WOULD_SEND": "would send", "SKIPPED": "skip", "REFUSED": "refused", "SENT": "sent"}[item.done]
    style = {"WOULD_SEND": "green", "REFUSED": "red"}.get(item.done, "dim")
    origin = item.entry.dead_letter.origin
    to = f" to {origin.topic} partition {origin.partition}" if origin and item.done == "WOULD_SEND" else ""
    line = Text.assemble(f"{item.entry.dead_letter.record_id}  ", tables.plain(verb + to, style), "  ")
    return tables.single_line(line.append_text(tables.plain(item.why)))


def _summary(done: Counter[str], outlooks: Counter[str], looked_at: int, *, dry_run: bool) -> str:
    sent = f"{done['WOULD_SEND']} would be sent" if dry_run else f"{done['SENT']} sent again"
    parts = [sent, f"{done['SKIPPED']} skipped"]
    if done["REFUSED"]:
        parts.append(f"{done['REFUSED']} refused by the broker")
    seen = ", ".join(f"{count} {name.lower()}" for name, count in outlooks.most_common())
    outlook = f" Outlook: {seen}." if seen else ""
    hint = " (--dry-run shows why)" if done["SKIPPED"] and not dry_run else ""
    return f"{', '.join(parts)}, of {looked_at} dead letters read{hint}.{outlook}"


def _state(state: str) -> Text:
    return Text(state, style={"WAITING": "yellow", "PARKED": "red"}.get(state, "dim"))


def _flat(value: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{before}{name}.")
        elif name == "headers":
            yield from ((f"header {header['name']}", header["text"]) for header in item)
        elif item is not None:
            yield f"{before}{name}", item
