"""Tables and lines for the terminal. Control characters in a cloud's texts are replaced."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from stumble.wire.text import CONTROL_CHARACTERS, one_line, printable_text

Record = Mapping[str, Any]
_WIDE = 150
#: Longest message of a failure in a table or a line; `--format json` has the whole.
_MESSAGE_CHARACTERS = 300
#: Columns of ids, times and single values: never folded.
_WHOLE = frozenset(
    ("Time (UTC)", "Started (UTC)", "Outcome", "Blame", "Request", "Duration", "Failures", "Effect", "Field", "Version",
     "Problem", "Last seen (UTC)", "State", "Fingerprint", "Name", "Action", "Host"),
)  # fmt: skip
#: Columns of free text, with their shares of the width that the others leave.
_SHARES = {"Failure": 3, "Result": 3, "Reason": 3, "Server": 1}
STYLES = {
    "SUCCEEDED": "green",
    "RECOVERED": "green",
    "FAILED": "bold red",
    "CANCELLED": "yellow",
    "STALLED": "magenta",
    "IN_PROGRESS": "cyan",
}


def console(*, stderr: bool = False) -> Console:
    """Make a console as wide as the terminal; without a terminal, wide enough for whole ids."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else int(os.environ.get("COLUMNS") or 200)
    return Console(file=stream, highlight=False, width=width)


def print_json(value: Any) -> None:
    """Write one JSON document."""
    sys.stdout.write(_json(value, indent=2) + "\n")


def print_line(value: Any) -> None:
    """Write one JSON line and flush it."""
    sys.stdout.write(_json(value, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _json(value: Any, **layout: Any) -> str:
    """Return JSON in which the control characters of a cloud's texts are escaped."""
    escape = "\\u{:04x}".format
    text = json.dumps(value, ensure_ascii=False, **layout)
    return CONTROL_CHARACTERS.sub(lambda match: escape(ord(match[0])), text)


def plain(value: Any, style: str = "") -> Text:
    """Return a value as text, with control characters replaced."""
    return Text("" if value is None else printable_text(str(value)), style=style)


def single_line(text: Text) -> Text:
    """Return a text without line breaks: one in a cloud's text would look like a line of the command."""
    text.plain = text.plain.translate({ord("\n"): " ", ord("\t"): " "})
    return text


def clock(time: str | None) -> str:
    """Show an API time to the second, UTC; a number that no time can be stays as it is."""
    return f"{time[:10]} {time[11:19]}" if time and "T" in time else time or ""


def took(record: Record) -> str:
    """Show how long a request took, if start and end are known."""
    if not record.get("started_at") or not record.get("finished_at"):
        return ""
    begin, end = (datetime.fromisoformat(record[name]) for name in ("started_at", "finished_at"))
    return f"{max(0.0, (end - begin).total_seconds()):.1f} s"


def outcome(record: Record) -> Text:
    """Show an outcome in its colour."""
    return Text(str(record["outcome"]), style=STYLES.get(record["outcome"], ""))


def server(record: Record) -> Text:
    """Show a server by its name, or by its id if it has no name."""
    return plain(record.get("display_name") or record.get("instance_uuid"))


def where(record: Record) -> Text:
    """Show the step, and the attempt if it is not the first."""
    text = plain(record.get("step"))
    if (record.get("attempt") or 1) > 1:
        text.append(f" (attempt {record['attempt']})")
    return text


def what(record: Record) -> Text:
    """Show exception and reason, and the message where the reason does not show it."""
    text = plain(record.get("exception"), "bold")
    reason = (record.get("reason") or "").removeprefix(f"{text.plain}: ")
    if reason and reason != record.get("exception"):
        text.append_text(plain(f": {reason}"))
    if message := one_line(record.get("message"), _MESSAGE_CHARACTERS):
        text.append(": ")
        text.append_text(plain(message, "italic"))
    return text


def reason_of(record: Record) -> str:
    """Return a request's reason, and the message that the reason does not show."""
    texts = (record.get("reason"), one_line(record.get("message"), _MESSAGE_CHARACTERS))
    return ": ".join(text for text in texts if text)


def failures(records: Iterable[Record], width: int) -> Table:
    """Make a table of failures of many servers."""
    wide = width >= _WIDE
    table = empty("Time (UTC)", "Action", "Server", "Host", "Failure", "Blame", *(["Request"] if wide else []))
    for record in records:
        request = plain(record.get("request_id"), "dim")
        cell = what(record)
        if not wide:
            cell = Text("\n").join([cell, request])
        row = [Text(clock(record["occurred_at"])), plain(record["action"]), server(record), plain(record["host"])]
        table.add_row(*row, cell, Text(record["blame"]), *([request] if wide else []))
    return table


def story(record: Record) -> Table:
    """Make a table of one request: its steps and failures, by attempt and host."""
    table = empty("Time (UTC)", "Host", "Step", "Result", "Blame", "Effect")
    for at, located, failed, result in _lines(record):
        cells = [Text(at[11:23]), plain(located["host"]), where(located)]
        if failed is None:
            table.add_row(*cells, plain(result, "dim"), Text(), Text())
        else:
            table.add_row(*cells, what(failed), Text(failed["blame"]), Text(failed["effect"]))
    return table


def _lines(record: Record) -> list[tuple[str, Record, Record | None, str]]:
    """Sort steps and failures by time; for a step with failures only these are shown, not Nova's result."""
    lines: list[tuple[str, Record, Record | None, str]] = []
    for step in record["steps"]:
        failures_of_step = [failure for failure in record["failures"] if _attempt_key(failure) == _attempt_key(step)]
        if not failures_of_step:
            result = (step["result"] or "running").lower()
            lines.append((step["started_at"] or step["finished_at"] or "", step, None, result))
    lines += [(failure["occurred_at"], failure, failure, "") for failure in record["failures"]]
    return sorted(lines, key=lambda line: line[0])


def _attempt_key(record: Record) -> tuple[Any, Any, int]:
    return record["step"], record["host"], record["attempt"] or 1


def history(records: Iterable[Record], width: int) -> Table:
    """Make a table of requests of one server."""
    wide = width >= _WIDE
    table = empty(
        "Started (UTC)", "Action", "Outcome", "Failures", "Duration", "Reason", *(["Request"] if wide else [])
    )
    for record in records:
        request_id = plain(record["request_id"], "dim")
        reason = plain(reason_of(record) if record["outcome"] != "SUCCEEDED" else "")
        table.add_row(
            clock(record["started_at"]),
            plain(record["action"]),
            outcome(record),
            str(record["failure_count"] or ""),
            took(record),
            reason if wide else Text("\n").join(part for part in (reason, request_id) if part.plain),
            *([request_id] if wide else []),
        )
    return table


def request(record: Record) -> Group:
    """Show one request with its steps and failures."""
    head = Text.assemble(plain(record["action"] or "unknown action", "bold"), " on ", server(record), ": ")
    head.append_text(outcome(record))
    lines = Table.grid(padding=(0, 2))
    for name, value in _facts(record):
        lines.add_row(Text(name, style="dim"), plain(value))
    parts: list[Any] = [head, lines]
    if record["failures"] or record["steps"]:
        parts.append(story(record))
    return Group(*parts)


def _facts(record: Record) -> Iterable[tuple[str, Any]]:
    target = f"{record['target_kind']} {record['target_id']}" if record.get("target_id") else None
    host = record.get("host")
    ended = "stalled" if record["outcome"] == "STALLED" else "finished"
    named = [
        ("reason", reason_of(record) if record["outcome"] != "SUCCEEDED" else None),
        ("evidence", record.get("evidence")),
        ("verdict", record.get("verdict")),
        ("effect on server", record.get("effect") if record["failures"] else None),
        ("target", target),
        ("server", record.get("instance_uuid")),
        ("request", record.get("request_id")),
        ("global request", record.get("global_request_id")),
        ("ended early by", record.get("linked_request_key")),
        ("started", clock(record.get("started_at"))),
        (ended, " ".join(filter(None, (clock(record.get("finished_at")), took(record) and f"({took(record)})")))),
        ("host", host),
    ]
    return ((name, value) for name, value in named if value)


def empty(*columns: str) -> Table:
    """Make a table without rows; columns that hold ids or times are not folded."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", expand=any(map(_SHARES.get, columns)))
    for name in columns:
        table.add_column(name, no_wrap=name in _WHOLE, overflow="fold", ratio=_SHARES.get(name))
    return table


def rows(columns: Sequence[str], result: Iterable[Iterable[object]]) -> Table:
    """Make a table of plain values."""
    table = empty(*columns)
    for row in result:
        table.add_row(*map(plain, row))
    return table


def line(record: Record) -> Text:
    """Show one failure in one line, for --follow."""
    parts = [
        Text(clock(record.get("occurred_at")), style="dim"),
        plain(record.get("action"), "bold"),
        server(record),
        plain(record.get("host")),
        what(record),
        plain(record.get("blame"), "yellow"),
        plain(record.get("request_id"), "dim"),
    ]
    return single_line(Text("  ").join(part for part in parts if part.plain))


def verdict(record: Record) -> Text:
    """Show a request's outcome in one line, for `wait`."""
    text = Text.assemble(plain(record.get("action") or "unknown action", "bold"), " on ", server(record), ": ")
    text.append_text(outcome(record))
    if record["outcome"] != "SUCCEEDED" and record.get("reason"):
        text.append_text(plain(f": {reason_of(record)}"))
    return single_line(text)
