"""`stumble failures`: list failures, with --follow also new ones."""

from __future__ import annotations

import time
from typing import Annotated, Any, NoReturn

import typer

from stumble.cli import tables
from stumble.cli.ask import (
    ApiClient,
    ApiOption,
    ApiUnreachableError,
    FormatOption,
    OutputFormat,
    examples,
    parse_time,
    uuid,
)
from stumble.outcome.records import BLAMES

app = typer.Typer(add_completion=False)
_RECONNECT_SECONDS = 2.0
_REMEMBERED = 10_000


def _blame(values: list[str] | None) -> list[str]:
    blames = [value.upper() for value in values or []]
    for blame in blames:
        if blame not in BLAMES:
            raise typer.BadParameter(f"{blame} is not one of {', '.join(BLAMES)}")
    return blames


@app.command(
    epilog=examples(
        "stumble failures --since 1h",
        "stumble failures --since 1d --blame CAPACITY --blame OPERATOR",
        "stumble failures --instance 5f0e… --action resize",
        "stumble failures --follow",
        "stumble failures --since 2h --format json | jq -r '.[].request_id'",
    ),
)
def failures(
    *,
    since: Annotated[
        str | None, typer.Option(help="Only failures since then: 15m, 2h, 3d or an ISO 8601 time.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only failures before then.")] = None,
    action: Annotated[list[str] | None, typer.Option(help="Action in Nova's spelling; repeatable.")] = None,
    instance: Annotated[
        str | None, typer.Option(metavar="UUID", callback=uuid, help="Only failures of this server.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Only failures of servers that this project owns.")] = None,
    blame: Annotated[
        list[str] | None, typer.Option(callback=_blame, help=f"Who can fix it: {', '.join(BLAMES)}; repeatable.")
    ] = None,
    exception: Annotated[list[str] | None, typer.Option(help="Exception class; repeatable.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="Host on which the failure happened; repeatable.")] = None,
    problem: Annotated[
        str | None, typer.Option(metavar="FINGERPRINT", help="Only failures of this problem, v1:…", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of failures.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Continue with new failures as they arrive.")] = False,
    format_: FormatOption = OutputFormat.TABLE,
    api: ApiOption = None,
) -> None:
    """List failures, newest first; with --follow oldest first, then new ones as they arrive."""
    filters = {
        "action": action,
        "instance": instance,
        "project": project,
        "blame": blame,
        "exception": exception,
        "host": host,
        "problem": problem,
    }
    window = {"since": parse_time(since), "until": parse_time(until)}
    with ApiClient(api) as client:
        if follow:
            _follow(client, filters, window, limit, format_)
        result, more = client.pages("/v1/failures", {**filters, **window}, limit)
    if format_ is OutputFormat.JSON:
        tables.print_json(result)
        return
    out = tables.console()
    if not result:
        out.print("No failures match." if any([*filters.values(), *window.values()]) else "No failures so far.")
        return
    out.print(tables.failures(result, out.width))
    if more:
        out.print(f"There are more than {limit}; restrict the list with --since, or raise --limit.", style="dim")


def _follow(
    client: ApiClient, filters: dict[str, Any], window: dict[str, Any], limit: int, format_: OutputFormat
) -> NoReturn:
    """Print the stored failures, then new ones; the stream is opened before the list is read, so none is missed."""
    printer = _Printer(format_)
    event_id, listed = "", False
    while True:
        try:
            for event in client.stream({**filters, "kind": "failure"}, event_id or None):
                event_id = event.id
                if not listed:
                    listed = True
                    for record in reversed(client.pages("/v1/failures", {**filters, **window}, limit)[0]):
                        printer.stored(record)
                if event.kind == "failure":
                    printer.streamed(event.data)
        except ApiUnreachableError:
            if not listed:
                raise
        time.sleep(_RECONNECT_SECONDS)


class _Printer:
    """Prints each revision of a failure once, from list or stream; as text only those that change the line."""

    def __init__(self, format_: OutputFormat) -> None:
        self._format = format_
        self._out = tables.console()
        self._seen: dict[str, int] = {}
        self._shown: dict[str, str] = {}

    def stored(self, record: dict[str, Any]) -> None:
        """Print a failure of the list; the stream may send its first revision later."""
        self._seen[record["failure_id"]] = 0
        self._print(record, "CURRENT")

    def streamed(self, data: dict[str, Any]) -> None:
        """Print an event of the stream unless that revision was printed already."""
        subject, revision = data["subject_id"], data["revision"]
        known = self._seen.get(subject)
        if known is not None and (known >= revision or (known == 0 and not data["correction"])):
            return
        self._seen[subject] = revision
        if len(self._seen) > _REMEMBERED:
            forgotten = next(iter(self._seen))
            del self._seen[forgotten]
            self._shown.pop(forgotten, None)
        record = {
            **data["record"],
            "message": data.get("message"),
            "failure_id": subject,
            "revision": revision,
            "status": data["status"],
        }
        self._print(record, data["status"])

    def _print(self, record: dict[str, Any], status: str) -> None:
        if self._format is OutputFormat.JSON:
            tables.print_line(record)
            return
        text = tables.line(record)
        before, plain = self._shown.get(record["failure_id"]), text.plain
        self._shown[record["failure_id"]] = plain
        if status == "CURRENT":
            if before == plain:
                return  # the line does not show what changed: the effect, or a further sighting
            if before is not None:
                text.append("  (corrected)", style="dim")
        else:
            text.stylize("dim strike")
            text.append(f"  ({status.lower()}: no longer counted)", style="dim")
        self._out.print(text, soft_wrap=True)
