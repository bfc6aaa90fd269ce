"""`stumble wait`: wait until the outcome is known; the exit status shows it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Protocol
from urllib.parse import quote

import typer

from stumble.cli import tables
from stumble.cli.ask import (
    ApiClient,
    ApiOption,
    ApiRefusedError,
    ApiUnreachableError,
    FormatOption,
    NotFoundError,
    OutputFormat,
    examples,
    parse_time,
    span,
    uuid,
)

app = typer.Typer(add_completion=False)

NEVER_SEEN, TIMED_OUT, NO_API, INTERRUPTED = 4, 5, 69, 130
#: Worst first: the exit status of several requests is that of the worst.
_WORST = (("FAILED", 1), ("STALLED", 5), ("CANCELLED", 3), ("RECOVERED", 0), ("SUCCEEDED", 0))
_LONGEST_POLL = 30.0
_PAUSE = 1.0
Items = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Observation:
    """The requests as the store has them at one time."""

    items: Items
    #: Seconds since the store last changed any of them, by the database's clock.
    quiet: float


class Subject(Protocol):
    """The requests that the command waits for."""

    def observe(self, patience: float) -> Observation:
        """Query once; while a request is in progress, the API may delay the answer by `patience` seconds."""


class ById:
    """All requests under one id."""

    def __init__(self, api: ApiClient, id_: str) -> None:
        self._api = api
        self._path = f"/v1/requests/{quote(id_, safe='')}"
        self.name = id_

    def observe(self, patience: float) -> Observation:
        """Query them."""
        try:
            result = self._api.get(self._path, {"wait": round(patience, 3)}, patience=patience)
        except NotFoundError:
            return Observation([], 0.0)
        return _observation(result["items"], result["as_of"])


class Latest:
    """The latest request id of a server: all requests under it on this server."""

    def __init__(self, api: ApiClient, instance: str, action: str | None, since: datetime | None) -> None:
        self._api = api
        self._query = {"instance": instance, "action": action, "since": since, "limit": 50}
        self.name = f"server {instance}"

    def observe(self, patience: float) -> Observation:
        """Query it; another id can become the latest until no request changes any more."""
        result = self._api.get("/v1/requests", self._query)
        newest = result["items"][0]["request_id"] if result["items"] else None
        observation = _observation([item for item in result["items"] if item["request_id"] == newest], result["as_of"])
        if patience and not all(item["final"] for item in observation.items):
            time.sleep(min(patience, _PAUSE))
        return observation


@dataclass(frozen=True)
class Limits:
    """Time limits, in seconds."""

    settle: float
    appear: float
    timeout: float


@app.command(
    epilog=examples(
        "stumble wait req-0a5b2a5e-7a1f-4c1e-9f43-0a6f1c3c8a11 && echo worked",
        "stumble wait GLOBAL_REQUEST_ID --timeout 20m",
        "openstack server resize --flavor m1.large web-1; stumble wait --server UUID --action resize --since 1m",
        "stumble wait REQUEST_ID --format json | jq '.[].reason'",
        "Exit status: 0 all SUCCEEDED or RECOVERED; 1 any FAILED; 3 CANCELLED; 4 never seen; 5 STALLED or timed out; "
        "2 wrong usage; 69 no answer from the API; 130 interrupted. Of several requests the worst counts: 1, 5, 3, 0.",
    ),
)
def wait(
    *,
    id_: Annotated[
        str | None,
        typer.Argument(metavar="REQUEST_ID", help="A request id, or a global request id for all its requests."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="UUID", callback=uuid, help="Wait for the latest request of this server.")
    ] = None,
    action: Annotated[str | None, typer.Option(help="With --server: the latest request of this action.")] = None,
    since: Annotated[
        str | None, typer.Option(help="With --server: only requests started since then: 15m, 2h or an ISO 8601 time.")
    ] = None,
    settle: Annotated[str, typer.Option(help="Time without changes after which no more requests are expected.")] = "5s",
    appear: Annotated[str, typer.Option(help="Time to wait until a first request appears.")] = "30s",
    timeout: Annotated[str, typer.Option(help="Total time to wait.")] = "1h",
    format_: FormatOption = OutputFormat.TABLE,
    api: ApiOption = None,
) -> None:
    """Wait until a request's outcome is known; the exit status shows it.

    Give a request id, a global request id, or --server for a server's latest request.
    """
    if (id_ is None) == (server is None):
        raise typer.BadParameter("give either a REQUEST_ID or --server UUID")
    if server is None and (action or since):
        raise typer.BadParameter("--action and --since require --server")
    started = parse_time(since)
    limits = Limits(*(span(text).total_seconds() for text in (settle, appear, timeout)))
    try:
        with ApiClient(api) as client:
            subject = ById(client, id_) if id_ else Latest(client, server or "", action, started)
            status = _report(subject.name, *follow(subject, limits, _progress(format_)), limits, format_)
    except (ApiUnreachableError, ApiRefusedError) as error:
        tables.console(stderr=True).print(f"stumble: {error}", soft_wrap=True)
        status = NO_API
    except KeyboardInterrupt:
        status = INTERRUPTED
    raise typer.Exit(status)


def follow(subject: Subject, limits: Limits, on_change: Callable[[Items], None]) -> tuple[Items, bool]:
    """Wait until every request is final and unchanged for `limits.settle`; False if the time ran out before."""
    started = time.monotonic()
    reached = False
    items: Items = []
    while True:
        left = limits.timeout - (time.monotonic() - started)
        unseen = limits.appear - (time.monotonic() - started)
        patience = max(0.0, min(_LONGEST_POLL, left, _LONGEST_POLL if items else unseen))
        try:
            observation = subject.observe(patience)
        except (ApiUnreachableError, ApiRefusedError):
            # An API that has answered before is probably being restarted; one that never answered is not waited for.
            if not reached or left <= 0:
                raise
            time.sleep(min(_PAUSE, max(left, 0.0)))
            continue
        reached, items = True, observation.items
        on_change(items)
        final = bool(items) and all(item["final"] for item in items)
        if final and observation.quiet >= limits.settle:
            return items, True
        if left <= 0 or (not items and unseen <= 0):
            return items, final
        time.sleep(_pause(final, limits.settle - observation.quiet, left, bool(items)))


def _pause(final: bool, unsettled: float, left: float, seen: bool) -> float:
    """Return seconds until the next query: the API itself delays answers only while a request is not final."""
    if final:
        return max(0.0, min(unsettled, left, _PAUSE))
    return 0.05 if seen else max(0.0, min(0.2, left))


def _observation(items: Items, as_of: str) -> Observation:
    newest = max((datetime.fromisoformat(item["updated_at"]) for item in items), default=None)
    quiet = (datetime.fromisoformat(as_of) - newest).total_seconds() if newest else 0.0
    return Observation(items, quiet)


def _progress(format_: OutputFormat) -> Callable[[Items], None]:
    """Return a function that prints changed outcomes to stderr if it is a terminal."""
    if format_ is OutputFormat.JSON or not sys.stderr.isatty():
        return lambda _: None
    err, last = tables.console(stderr=True), ""

    def on_change(items: Items) -> None:
        nonlocal last
        now = ", ".join(f"{item['action']} {item['outcome']}" for item in items) or "not seen yet"
        if now != last:
            last = now
            err.print(tables.plain(now, "dim"))

    return on_change


def _report(name: str, items: Items, complete: bool, limits: Limits, format_: OutputFormat) -> int:
    """Print the outcomes and return the exit status."""
    if format_ is OutputFormat.JSON:
        tables.print_json(list(items))
    err = tables.console(stderr=True)
    if not items:
        waited = min(limits.appear, limits.timeout)
        err.print(tables.plain(f"stumble: no request was seen for {name} within {waited:g} s"), soft_wrap=True)
        return NEVER_SEEN if limits.appear <= limits.timeout else TIMED_OUT
    if format_ is OutputFormat.TABLE:
        for item in items:
            tables.console().print(tables.verdict(item), soft_wrap=True)
    if any(item["outcome"] == "FAILED" for item in items):
        return 1
    if not complete:
        err.print(f"stumble: no outcome after {limits.timeout:g} s", soft_wrap=True)
        return TIMED_OUT
    outcomes = {item["outcome"] for item in items}
    return next((status for outcome, status in _WORST if outcome in outcomes), TIMED_OUT)
