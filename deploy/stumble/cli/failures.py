"""`stumble failures`: what went wrong."""

from __future__ import annotations

import time
from typing import Annotated, Any, NoReturn

import typer

from stumble.cli import tables
from stumble.cli.ask import ApiClient, ApiOption, ApiUnreachableError, FormatOption, OutputFormat, examples, uuid
from stumble.cli.ask import since as moment
from stumble.outcome.records import BLAMES

app = typer.Typer(add_completion=False)
_RECONNECT_SECONDS = 2.0
_REMEMBERED = 10_000


def _blame(values: list[str] | None) -> list[str]:
    words = [value.upper() for value in values or []]
    for word in words:
        if word not in BLAMES:
            raise typer.BadParameter(f"{word} is none of {', '.join(BLAMES)}")
    return words


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
    since: Annotated[str | None, typer.Option(help="From when on: 15m, 2h, 3d or an ISO time.")] = None,
    until: Annotated[str | None, typer.Option(help="Before when.")] = None,
    action: Annotated[list[str] | None, typer.Option(help="Nova's name of an action; repeatable.")] = None,
    instance: Annotated[str | None, typer.Option(metavar="UUID", callback=uuid, help="Of this server.")] = None,
    project: Annotated[str | None, typer.Option(help="Of servers that this project owns.")] = None,
    blame: Annotated[
        list[str] | None, typer.Option(callback=_blame, help=f"Whose problem: {', '.join(BLAMES)}; repeatable.")
    ] = None,
    exception: Annotated[list[str] | None, typer.Option(help="Exception class; repeatable.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="Host on which it happened; repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on with new ones as they come.")] = False,
    format_: FormatOption = OutputFormat.TABLE,
    api: ApiOption = None,
) -> None:
    """Show what went wrong, newest first; with --follow oldest first, and then live."""
    filters = {
        "action": action,
        "instance": instance,
        "project": project,
        "blame": blame,
        "exception": exception,
        "host": host,
    }
    window = {"since": moment(since), "until": moment(until)}
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
        out.print(f"There are more than {limit}; narrow with --since, or raise --limit.", style="dim")


def _follow(
    client: ApiClient, filters: dict[str, Any], window: dict[str, Any], limit: int, format_: OutputFormat
) -> NoReturn:
    """Print what is there, then what comes; the place is taken first, so nothing falls between."""
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
    """Prints each revision of a failure once, whichever way it comes; to people only those that look different."""

    def __init__(self, format_: OutputFormat) -> None:
        self._format = format_
        self._out = tables.console()
        self._seen: dict[str, int] = {}
        self._shown: dict[str, str] = {}

    def stored(self, record: dict[str, Any]) -> None:
        """Print a failure that the store holds already; its message may still be on the way."""
        self._seen[record["failure_id"]] = 0
        self._print(record, "CURRENT")

    def streamed(self, data: dict[str, Any]) -> None:
        """Print a message of the stream unless it was printed already; a correction is new."""
        subject, revision = data["subject_id"], data["revision"]
        known = self._seen.get(subject)
        if known is not None and (known >= revision or (known == 0 and revision == 1)):
            return
        self._seen[subject] = revision
        if len(self._seen) > _REMEMBERED:
            forgotten = next(iter(self._seen))
            del self._seen[forgotten]
            self._shown.pop(forgotten, None)
        record = {**data["record"], "failure_id": subject, "revision": revision, "status": data["status"]}
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
                return  # what changed is none of what a line shows: the effect, a further sighting
            if before is not None:
                text.append("  (corrected)", style="dim")
        else:
            text.stylize("dim strike")
            text.append(f"  ({status.lower()}: counted no longer)", style="dim")
        self._out.print(text, soft_wrap=True)
