"""`stumble dlq`: what could not be taken in: list it, count it, keep it, send it again."""

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
from stumble.settings.base import load
from stumble.store.connect import connect
from stumble.store.version import require_current
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False, no_args_is_help=True)

_PROGRESS_SECONDS = 2.0
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="PLACE", help="From partition:offset of the dead letter topic on.")
]
PlaceArgument = Annotated[str, typer.Argument(metavar="PLACE", help="partition:offset, as `ls` shows it.")]


@app.callback()
def dlq() -> None:
    """List, count, export and send again what could not be taken in.

    Reads Kafka (STUMBLE_KAFKA__…) and the store (STUMBLE_DATABASE_URL) directly. What was sent again is remembered in
    the store; the dead letter topic itself is never changed.
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
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    start: FromOption = None,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """List dead letters, oldest first: why, what became of them, what sending them again would come to."""
    items: list[dict[str, Any]] = []
    more: str | None = None
    with _desk() as desk:
        for entry in desk.entries(selection, _record_id(start)):
            if len(items) == limit:
                more = str(entry.dead_letter.record_id)
                break
            items.append(json_views.brief(entry))
    if format_ is OutputFormat.JSON:
        tables.print_json({"items": items, "next": more})
        return
    out = tables.console()
    if not items:
        out.print("No dead letter matches." if desk.looked_at else "There are no dead letters.")
        return
    out.print(_listed(items))
    if more:
        out.print(f"There are more: --from {more}, or a larger --limit.")


@app.command(epilog=examples("stumble dlq show 0:17", "stumble dlq show 0:17 --format json | jq .headers"))
def show(record_id: PlaceArgument, *, format_: FormatOption = OutputFormat.TABLE) -> None:
    """Tell all of one letter: why, what it says where it can be read, its bytes."""
    with _desk() as desk:
        entry = desk.one(_record_id(record_id) or RecordId(0, 0))
    if entry is None:
        raise StumbleError(f"The dead letter topic holds nothing at {record_id}: see `stumble dlq ls`.")
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
    """Count dead letters by what refused them and why, the most frequent reason first."""
    result = DeadLetterStats()
    with _desk() as desk:
        for chunk in _with_progress(desk, desk.chunks(selection)):
            for entry in chunk:
                result.add(entry)
    if format_ is OutputFormat.JSON:
        tables.print_json({**json_views.statistics(result), "looked_at": desk.looked_at})
    elif not result.total.count:
        tables.console().print("No dead letter matches." if desk.looked_at else "There are no dead letters.")
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
    """Write dead letters as JSON lines, bytes as base64; nothing is taken away."""
    with _desk() as desk:
        for chunk in _with_progress(desk, desk.chunks(selection)):
            for entry in chunk:
                tables.print_line(json_views.whole(entry))


@app.command(
    epilog=examples(
        "stumble dlq redrive --dry-run",
        "stumble dlq redrive --readable",
        "stumble dlq redrive --stage store --since 2h",
        "stumble dlq redrive --state PARKED --force --limit 10",
    )
)
@selecting
def redrive(
    *,
    selection: DeadLetterFilter,
    start: FromOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send so many at most.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say letter by letter what would happen.")] = False,
    readable: Annotated[bool, typer.Option("--readable", help="Only what this version can read.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Parked ones too.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Those that were sent before too.")] = False,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Send records again to the topic and partition they came from: bytes, key, headers and time as they were.

    Only what lies there now is sent, each letter once: interrupted, it is run again and goes on. What comes back counts
    its replays and parks after the third (STUMBLE_DLQ_MAX_REPLAYS). Exit status 1 where the broker refused some.
    """
    done: Counter[str] = Counter()
    outlooks: Counter[str] = Counter()
    with _desk() as desk:
        orders = RedriveOptions(dry_run, force, again, readable)
        for chunk in _with_progress(desk, desk.redrive(selection, orders, start=_record_id(start), limit=limit), done):
            done.update(item.done for item in chunk)
            outlooks.update(item.entry.seen.outlook for item in chunk if item.done in ("SENT", "WOULD_SEND"))
            for item in chunk:
                if format_ is OutputFormat.JSON:
                    tables.print_line(json_views.outcome(item))
                elif dry_run or item.done == "REFUSED":
                    tables.console().print(_line(item), soft_wrap=True)
        summary = {"looked_at": desk.looked_at, **{name.lower(): count for name, count in sorted(done.items())}}
    if format_ is OutputFormat.JSON:
        tables.print_line({"summary": summary})
    else:
        tables.console().print(_summary(done, outlooks, desk.looked_at, dry_run=dry_run), soft_wrap=True)
    if done["REFUSED"]:
        raise typer.Exit(1)


@app.command(
    "let-through",
    epilog=examples("stumble dlq let-through --partition 3 --dry-run", "stumble dlq let-through --partition 3"),
)
def let_through(
    *,
    partition: Annotated[list[int], typer.Option("--partition", min=0, help="This partition; may be repeated.")],
    until: Annotated[
        int | None, typer.Option(min=0, metavar="OFFSET", help="Before this offset; the end that the topic has now.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
) -> None:
    """Let bad records of a partition go to the dead letter topic, however many they are, up to an offset.

    Too many bad records at once hold a partition back (STUMBLE_PROJECTOR_BREAKER_…): nothing is dropped, and it goes on
    by itself when its next record can be taken in. Where they are simply bad, this lets them through; what is written
    behind the offset is looked at as before. The projector goes on within seconds.
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
def _desk() -> Iterator[DeadLetterService]:
    settings = settings_of()
    url = settings.database_url.get_secret_value()
    require_current(url)
    with connect(url, application="stumble-dlq") as connection, DeadLetterService(load().kafka, connection) as desk:
        yield desk


def _record_id(text: str | None) -> RecordId | None:
    try:
        return RecordId.read(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _with_progress(desk: DeadLetterService, chunks: Iterable[Any], done: Counter[str] | None = None) -> Iterator[Any]:
    """Pass chunks on, and say now and then how far it is."""
    begun = said = time.monotonic()
    for chunk in chunks:
        yield chunk
        now = time.monotonic()
        if now - said >= _PROGRESS_SECONDS:
            said = now
            rate = desk.looked_at / (now - begun)
            sent = f", {done['SENT'] + done['WOULD_SEND']} of them to send" if done else ""
            typer.echo(f"{desk.looked_at} of {len(desk.topic)} letters{sent}, {rate:.0f}/s …", err=True)


def _listed(items: list[dict[str, Any]]) -> Table:
    table = tables.empty("Place", "Time (UTC)", "State", "Stage", "Why", "Action", "From", "Replays", "Outlook")
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
    table = tables.empty("Letters", "Stage", "Exception", "Message", "Waiting", "Sent again", "Parked", "First (UTC)")
    table.add_column("Last (UTC)")
    table.add_column("Example")
    for reason, group in result.by_count():
        states = [str(group.states[name] or "") for name in ("WAITING", "REDRIVEN", "PARKED")]
        times = [tables.clock(json_views.moment(value)) for value in (group.first_at, group.last_at)]
        words = [tables.plain(word) for word in reason]
        table.add_row(str(group.count), *words, *states, *times, str(group.example or ""))
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
    return Text.assemble(f"{item.entry.dead_letter.record_id}  ", (verb + to, style), "  ", tables.plain(item.why))


def _summary(done: Counter[str], outlooks: Counter[str], looked_at: int, *, dry_run: bool) -> str:
    sent = f"{done['WOULD_SEND']} would be sent" if dry_run else f"{done['SENT']} sent again"
    parts = [sent, f"{done['SKIPPED']} skipped"]
    if done["REFUSED"]:
        parts.append(f"{done['REFUSED']} refused by the broker")
    seen = ", ".join(f"{count} {name.lower()}" for name, count in outlooks.most_common())
    outlook = f" Outlook: {seen}." if seen else ""
    hint = " (--dry-run says why, letter by letter)" if done["SKIPPED"] and not dry_run else ""
    return f"{', '.join(parts)}, of {looked_at} looked at{hint}.{outlook}"


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
