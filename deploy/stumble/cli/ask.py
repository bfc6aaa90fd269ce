"""Query the API: an answer, or an error of one sentence; and the options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

import httpx
import typer

from stumble.runtime.http_client import HttpClient
from stumble.runtime.times import parse_duration, parse_when
from stumble.settings.base import load_settings
from stumble.settings.urls import split_user
from stumble.wire.errors import StumbleError

ApiOption = Annotated[
    str | None, typer.Option("--api", metavar="URL", help="Address of the API.", envvar="STUMBLE_API_URL")
]
Parameters = Mapping[str, Any]
_SECONDS = 20.0
_ANSWER_BYTES = 256 << 20


class OutputFormat(StrEnum):
    """Format of a command's output."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[OutputFormat, typer.Option("--format", "-f", help="Output format; json is for programs.")]


class ApiUnreachableError(StumbleError):
    """The API cannot be reached at this address."""


class NotFoundError(StumbleError):
    """The API has nothing with that id."""


class ApiRefusedError(StumbleError):
    """The API rejects the request, or cannot answer it now."""


@dataclass(frozen=True)
class SseEvent:
    """One server-sent event."""

    id: str
    kind: str
    data: Any


class ApiClient:
    """HTTP client of one API."""

    def __init__(self, url: str | None = None) -> None:
        self.url, self._user = split_user(load_settings(api_url=url).api_url.rstrip("/"))
        self._client = HttpClient(seconds=_SECONDS, max_bytes=_ANSWER_BYTES, auth=self._user)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, parameters: Parameters | None = None, *, patience: float = 0.0) -> Any:
        """Return the answer's JSON; `patience` is how many seconds the API itself may wait before it answers.

        Raises `ApiUnreachableError`, `NotFoundError` or `ApiRefusedError`, each with a message of one sentence.
        """
        try:
            answer = self._client.request(
                "GET", self.url + path, params=_given(parameters), seconds=_SECONDS + patience
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        return self._json(answer)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a POST request and return the answer's JSON; raises as `get` does."""
        return self._change("POST", path, body)

    def delete(self, path: str) -> Any:
        """Send a DELETE request and return the answer's JSON; raises as `get` does."""
        return self._change("DELETE", path, None)

    def _change(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            answer = self._client.request(method, self.url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from error
        return self._json(answer)

    def pages(self, path: str, parameters: Parameters, limit: int) -> tuple[list[Any], bool]:
        """Return up to `limit` items, from several pages if necessary, and whether there are more."""
        items: list[Any] = []
        page = self.get(path, {**parameters, "limit": min(limit, 500)})
        while True:
            items += page["items"]
            if not page["next"] or len(items) >= limit:
                return items[:limit], bool(page["next"]) or len(items) > limit
            page = self.get(page["next"])

    def stream(self, parameters: Parameters, event_id: str | None = None) -> Iterator[SseEvent]:
        """Yield events as they arrive; the first, of kind `open`, has only an id. Ends with the connection."""
        headers = {"Last-Event-ID": event_id} if event_id else {}
        try:
            # A stream has no end, hence no deadline: the user ends it.
            with httpx.stream(
                "GET",
                f"{self.url}/v1/stream",
                params=_given(parameters),
                headers=headers,
                auth=self._user,
                timeout=httpx.Timeout(_SECONDS, read=60.0),
            ) as answer:
                if answer.is_error:
                    answer.read()
                    self._json(answer)
                yield from _events(answer.iter_lines())
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.ReadTimeout):
            return
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ApiUnreachableError:
        what = "does not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
        return ApiUnreachableError(f"the API at {self.url} {what}; start it with `stumble api`, or set --api")

    def _json(self, answer: httpx.Response) -> Any:
        try:
            result = answer.json()
        except ValueError as error:
            raise ApiRefusedError(f"the server at {self.url} is not a stumble API; set --api") from error
        if answer.is_error:
            detail = str(result.get("detail") if isinstance(result, dict) else result)
            raise (NotFoundError if answer.status_code == 404 else ApiRefusedError)(detail)
        return result


def ask(url: str | None, path: str, parameters: Parameters | None = None) -> Any:
    """Send one GET request to the API at `url` and return the answer; raises as `ApiClient.get` does."""
    with ApiClient(url) as api:
        return api.get(path, parameters)


def change(url: str | None, path: str, body: Mapping[str, Any]) -> Any:
    """Send one POST request to the API at `url` and return the answer; raises as `ApiClient.get` does."""
    with ApiClient(url) as api:
        return api.post(path, body)


def drop(url: str | None, path: str) -> None:
    """Send one DELETE request to the API at `url`; raises as `ApiClient.get` does."""
    with ApiClient(url) as api:
        api.delete(path)


def examples(*lines: str) -> str:
    """Return the text of a command's examples, one per line, for typer's `epilog`."""
    return "\n\n".join(["Examples:", *lines])


def parse_time(text: str | None) -> datetime | None:
    """Parse a time option; raises `typer.BadParameter`."""
    try:
        return parse_when(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def uuid(text: str | None) -> str | None:
    """Parse an option that is a UUID; raises `typer.BadParameter`."""
    try:
        return str(UUID(text)) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a valid UUID") from error


def between(begin: str | None, end: str | None, names: str) -> tuple[datetime | None, datetime | None]:
    """Parse two options, called `names` in messages, as a time range; raises `typer.BadParameter` if it is empty."""
    first, last = parse_time(begin), parse_time(end)
    if first is not None and last is not None and first >= last:
        raise typer.BadParameter(f"{names}: the range ends at {last:%Y-%m-%d %H:%M:%S}, which is not after its begin")
    return first, last


def span(text: str) -> timedelta:
    """Parse an option that is a duration; a number without a unit is seconds. Raises `typer.BadParameter`."""
    try:
        return parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error)) from error


def _given(parameters: Parameters | None) -> dict[str, Any] | None:
    """Return the parameters that are set; None if none is, because httpx would drop the query of a link otherwise."""
    given = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in (parameters or {}).items()
        if value not in (None, [], ())
    }
    return given or None


def _events(lines: Iterator[str]) -> Iterator[SseEvent]:
    """Parse server-sent events (WHATWG HTML, section 9.2)."""
    event_id, kind, data = "", "", []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            event_id = value
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif not line:
            if data:
                yield SseEvent(event_id, kind, json.loads("\n".join(data)))
            elif event_id and not kind:
                yield SseEvent(event_id, "open", None)
            kind, data = "", []
