"""The web pages: the live list of failures, and one page per server, request and failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from stumble.api import reads
from stumble.api.context import Running
from stumble.api.cursors import PageCursor
from stumble.api.failures import detailed, filters
from stumble.api.instances import EVERYTHING
from stumble.api.links import with_cursor
from stumble.api.params import Cursor, FailureQuery
from stumble.api.problems import NotFound, sentence
from stumble.api.publication_hub import head
from stumble.outcome.facts import unpack_facts
from stumble.outcome.records import BLAMES
from stumble.outcome.rules import ACTIONS
from stumble.settings.types import Text
from stumble.web.rendering import page
from stumble.web.timeline import StateChange, state_changes, timeline_of_request, timeline_rows

router = APIRouter(include_in_schema=False)
ON_A_SERVER = 30
PER_PAGE = 100
SPANS = (("15m", "15 minutes"), ("1h", "hour"), ("6h", "6 hours"), ("1d", "day"), ("7d", "week"))


@router.get("/")
async def failures_page(request: Request, running: Running) -> Response:
    """Show failures; the newest page updates itself."""
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    try:
        query = FailureQuery.model_validate({"limit": PER_PAGE, **{name: _value(name, asked[name]) for name in asked}})
    except ValidationError as error:
        return _failures(request, 400, asked, wrong=sentence(error.errors()))
    async with running.database.read() as connection:
        stream_cursor = await head(connection)
        result, after = await reads.failures(connection, {**filters(query), **query.sort_key()}, query.limit)
    older = with_cursor(request, after) if after else None
    return _failures(request, 200, asked, failures=result, older=older, stream_cursor=stream_cursor.encode())


def _value(name: str, text: str) -> Any:
    return [text] if name in {"action", "blame", "exception", "host"} else text


def _failures(request: Request, status: int, asked: Mapping[str, str], **values: Any) -> Response:
    given = {"failures": [], "older": None, "stream_cursor": None, "wrong": None, **values}
    return page(request, "failures.html", status, asked=asked, spans=SPANS, blames=BLAMES, actions=ACTIONS, **given)


@router.get("/find")
async def find(q: Annotated[Text, Query()], running: Running) -> Response:
    """Redirect to a request or a failure by its id; any other uuid is treated as a server's."""
    text = q.strip()
    key = reads.as_key(text)
    if key is None:
        return RedirectResponse(f"/requests/{quote(text, safe='')}", 303)
    async with running.database.read() as connection:
        if await reads.requests_by_id(connection, text):
            return RedirectResponse(f"/requests/{key}", 303)
        if await reads.failure(connection, key):
            return RedirectResponse(f"/failures/{key}", 303)
    return RedirectResponse(f"/servers/{key}", 303)


@router.get("/servers/{uuid}")
async def server_page(
    uuid: UUID, request: Request, running: Running, cursor: Annotated[Cursor | None, Query()] = None
) -> Response:
    """Show a server's states and requests side by side."""
    after_row = PageCursor.decode(cursor) if cursor else None
    wanted = {"instance": uuid, **EVERYTHING, "at": after_row and after_row.at, "id": after_row and after_row.id}
    async with running.database.read() as connection:
        stream_cursor = await head(connection)
        history, after = await reads.requests_of_instance(connection, wanted, ON_A_SERVER)
        failure = await reads.last_failure(connection, uuid)
        packed = await reads.facts(connection, uuid, [item.request_id or "" for item in history])
    if not history and failure is None:
        raise NotFound(f"Server {uuid} is unknown: no action on it has been recorded.")
    states = _states(packed)
    return page(
        request,
        "server.html",
        uuid=uuid,
        last=history[0] if history and not cursor else None,
        name=next((item.display_name for item in history if item.display_name), None),
        project=next((item.owner_project_id for item in history if item.owner_project_id), None),
        failure=failure,
        state=states[-1] if states and not cursor else None,
        rows=timeline_rows(history, states),
        story=timeline_of_request,
        older=with_cursor(request, after) if after else None,
        stream_cursor=None if cursor else stream_cursor.encode(),
    )


def _states(packed: list[bytes]) -> list[StateChange]:
    """Return the states in stored facts; none if another release wrote the facts."""
    try:
        return state_changes(fact for facts in packed for fact in unpack_facts(facts))
    except (ValueError, TypeError, IndexError):
        return []


@router.get("/requests/{id}")
async def request_page(id_: Annotated[Text, Path(alias="id")], request: Request, running: Running) -> Response:
    """Show all requests of one id."""
    async with running.database.read() as connection:
        stream_cursor = await head(connection)
        items = await reads.requests_by_id(connection, id_)
    if not items:
        raise NotFound(f"No request is known under {id_}; it may not have arrived yet.")
    return page(
        request, "request.html", id=id_, items=items, story=timeline_of_request, stream_cursor=stream_cursor.encode()
    )


@router.get("/failures/{failure_id}")
async def failure_page(failure_id: UUID, request: Request, running: Running) -> Response:
    """Show one failure with raw message and traceback."""
    return page(request, "failure.html", failure=await detailed(running, failure_id))
