"""`stumble explain`: explain recorded notifications and calls without Kafka or a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from stumble.cli import tables
from stumble.cli.ask import FormatOption, OutputFormat, examples, uuid
from stumble.explain import json_lines, text
from stumble.explain.explanation import Explainer
from stumble.explain.json_documents import bounded_lines
from stumble.wire.errors import StumbleError

app = typer.Typer(add_completion=False)
_STDIN = "-"


@app.command(
    epilog=examples(
        "stumble explain notifications.jsonl",
        "grep oslo.messaging.notification /var/log/nova/*.log | stumble explain - --server UUID",
        "stumble tail actions --from 1h --to-end --instance UUID --format json | stumble explain -",
        "stumble explain notifications.jsonl --format json | jq '.requests[]?.decided_by.rule'",
    ),
)
def explain(
    *,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files to read as one stream; - is standard input.")
    ],
    server: Annotated[str | None, typer.Option(metavar="UUID", callback=uuid, help="Only this server.")] = None,
    request: Annotated[
        str | None, typer.Option(metavar="REQUEST_ID", help="Only requests with this request id or global request id.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with status 1 if a line cannot be read.")] = False,
    format_: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show what stumble concludes from recorded signals of Nova: the events, the rule that decided, and the records.

    It reads notifications (as on the queue, or in lines of oslo.messaging's log driver), calls of the tap, and events
    as `stumble tail` and `stumble outbox export` print them; one per line or in JSON documents. Nothing is sent or
    stored, and secrets are masked as in the store. With --format json it prints one JSON object per server, then one
    about the input.
    """
    with Explainer() as explainer:
        for name, stream in _opened(files):
            try:
                explainer.read(bounded_lines(stream), name)
            except OSError as error:
                raise _unreadable(name, error) from error
        _print(explainer, server, request, format_)
        summary = explainer.summary
    sentence = text.unreadable_sentence(summary)
    if sentence and strict:
        raise StumbleError(sentence)
    if sentence:
        typer.echo(sentence, err=True)
    if not summary.signals:
        raise StumbleError("the input contains no notification, no call and no event")


def _print(explainer: Explainer, server: str | None, request: str | None, format_: OutputFormat) -> None:
    without_server = () if server or request else explainer.without_server()
    width, is_empty = tables.console().width, True
    for one in explainer.servers(server, request):
        is_empty = False
        if format_ is OutputFormat.JSON:
            tables.print_line(json_lines.server_object(one, request))
        else:
            for line in (*text.server_lines(one, width, request), ""):
                typer.echo(line)
    if format_ is OutputFormat.JSON:
        tables.print_line(json_lines.input_object(explainer.summary, without_server))
        return
    if is_empty and (server or request):
        typer.echo("No event of the input belongs to it.\n")
    for line in (
        *text.events_without_server_lines(without_server, width),
        *text.summary_lines(explainer.summary, width),
    ):
        typer.echo(line)


def _opened(files: list[str]) -> Iterator[tuple[str, BinaryIO]]:
    """Yield each input with its name; all files are opened before the first is read."""
    with ExitStack() as stack:
        opened: list[tuple[str, BinaryIO]] = []
        for name in files:
            try:
                stream = sys.stdin.buffer if name == _STDIN else stack.enter_context(Path(name).open("rb"))
            except OSError as error:
                raise _unreadable(name, error) from error
            opened.append(("standard input" if name == _STDIN else name, stream))
        yield from opened


def _unreadable(name: str, error: OSError) -> StumbleError:
    return StumbleError(f"{name} cannot be read: {error.strerror or error}")
