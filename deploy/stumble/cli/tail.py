"""`stumble tail`: show decoded records of a topic as they arrive."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from stumble.cli import tables
from stumble.cli.ask import FormatOption, OutputFormat, examples
from stumble.cli.reading import KINDS, Read, Reader, resolve
from stumble.runtime.times import from_millis, parse_when, rfc3339, with_readable_times
from stumble.settings.base import load_settings

app = typer.Typer(add_completion=False)
_DLQ = "__stumble.errors."


def _start_of(text: str) -> datetime | str:
    if text in {"beginning", "end"}:
        return text
    try:
        return parse_when(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a valid start: give beginning, end, a duration (15m) or an ISO 8601 time"
        ) from error


@app.command(
    epilog=examples(
        "stumble tail",
        "stumble tail failures --from 1h",
        "stumble tail outcomes --from beginning --to-end --format json | jq .record.outcome",
        "stumble tail dlq --from 2026-01-31T12:00:00Z --limit 10",
    ),
)
def tail(
    *,
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help=f"{', '.join(KINDS)}, or the full name of one of them.")
    ] = "actions",
    start: Annotated[
        str, typer.Option("--from", metavar="START", help="beginning, end, a duration back (15m) or an ISO 8601 time.")
    ] = "end",
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many records.")] = None,
    to_end: Annotated[bool, typer.Option("--to-end", help="Stop at the topic's current end.")] = False,
    instance: Annotated[str | None, typer.Option(metavar="UUID", help="Only records of this server.")] = None,
    format_: FormatOption = OutputFormat.TABLE,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka brokers.", envvar="STUMBLE_KAFKA__BOOTSTRAP_SERVERS")
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Schema registry, if any.", envvar="STUMBLE_KAFKA__SCHEMA_REGISTRY_URL"),
    ] = None,
) -> None:
    """Show decoded records of a topic, directly from Kafka: one line each, or JSON lines.

    The command reads without a consumer group, commits nothing and decodes both framings. A record that cannot be
    decoded is shown with the error.
    """
    kafka = load_settings().kafka
    given = {"bootstrap_servers": bootstrap_servers, "schema_registry_url": registry}
    kafka = kafka.model_copy(update={name: value for name, value in given.items() if value})
    name, schema = resolve(topic, kafka.topics)
    start_at = _start_of(start)
    reader = Reader(kafka, name, schema)
    shown, out = 0, tables.console()
    try:
        reader.start(start_at)
        for item in reader.read(to_end=to_end):
            if instance and item.key != instance.lower():
                continue
            if format_ is OutputFormat.JSON:
                tables.print_line(as_json(name, item))
            else:
                out.print(as_line(item), soft_wrap=True)
            shown += 1
            if shown == limit:
                break
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        reader.close()
    if to_end and not shown and format_ is OutputFormat.TABLE:
        out.print(f"There are no matching records in {name} from {start} on.")


def as_json(topic: str, item: Read) -> dict[str, Any]:
    """Return a record for programs: its offset, key, headers and content."""
    result: dict[str, Any] = {
        "topic": topic,
        "partition": item.partition,
        "offset": item.offset,
        "timestamp": rfc3339(written) if (written := from_millis(item.timestamp)) else None,
        "key": item.key,
        "headers": item.headers,
        "record": with_readable_times(item.record) if item.record is not None else None,
    }
    if item.error:
        result |= {"error": item.error, "value": base64.b64encode(item.value).decode()}
    return result


def as_line(item: Read) -> Text:
    """Return a record as one line of text."""
    reason = item.headers.get(f"{_DLQ}exception.message")
    if reason or item.record is None:
        return _bad(item, reason)
    record = with_readable_times(item.record)
    if "failure_ids" in record:
        line = Text(f"{tables.clock(record['published_at'])}  ", style="dim") + tables.verdict(record)
        return line + _revision(record)
    if "revision" in record:
        return tables.line(record) + _revision(record)
    if "backlog_events" in record:
        return _status(record)
    return _event(record)


def _event(record: Mapping[str, Any]) -> Text:
    source = record.get("source") or {}
    parts = [
        Text(tables.clock(record["occurred_at"]), style="dim"),
        Text(str(record["phase"]), style="red" if record["phase"] == "ERROR" else "cyan"),
        tables.plain(record.get("action"), "bold"),
        tables.plain(record.get("step")),
        tables.plain(record.get("host")),
        tables.plain(record.get("instance_uuid")),
        tables.what(record["failure"]) if record.get("failure") else Text(),
        tables.plain(source.get("signal"), "dim"),
        tables.plain(record.get("request_id"), "dim"),
    ]
    return tables.single_line(Text("  ").join(part for part in parts if part.plain))


def _status(record: Mapping[str, Any]) -> Text:
    text = Text(f"{tables.clock(record['reported_at'])}  ", style="dim")
    text.append_text(tables.plain(f"{record['host']} {record['process']}", "bold"))
    text.append(f"  sent {record['sent_total']} of {record['accepted_total']}, {record['backlog_events']} waiting")
    text.append(f", {record['refused_total']} refused, {record['rejected_total']} rejected")
    return tables.single_line(text if record["alive"] else text.append("  (process ended)", style="dim"))


def _revision(record: Mapping[str, Any]) -> Text:
    text = "  corrected" if record["correction"] else ""
    if record["status"] != "CURRENT":
        text += f"  {record['status'].lower()}"
        text += f" by {record['replaced_by']}" if record.get("replaced_by") else ""
    return Text(text, style="dim")


def _bad(item: Read, reason: str | None) -> Text:
    position = f"partition {item.partition} offset {item.offset}"
    if origin := item.headers.get(f"{_DLQ}topic"):
        position += f", from {origin} partition {item.headers.get(f'{_DLQ}partition')} offset "
        position += str(item.headers.get(f"{_DLQ}offset"))
    line = Text.assemble(
        tables.plain(f"{position}: ", "dim"),
        tables.plain(reason or item.error, "red"),
        (f" ({len(item.value)} bytes)", "dim"),
    )
    return tables.single_line(line)
