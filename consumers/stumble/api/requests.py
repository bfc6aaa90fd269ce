"""`/v1/requests`: requests and their outcomes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from stumble.api import reads
from stumble.api.context import ApiContext, Running
from stumble.api.links import next_link
from stumble.api.models import RequestPage
from stumble.api.params import RequestQuery
from stumble.api.problems import NotFound, documented
from stumble.api.publication_hub import LOOK_SECONDS, StreamMessage, head
from stumble.settings.types import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from stumble.api.cursors import StreamCursor

router = APIRouter(prefix="/v1/requests", tags=["requests"], responses=documented(400, 503))
MAX_WAIT_SECONDS = 60.0


@router.get("", summary="Requests of a server, newest first")
async def list_requests(
    query: Annotated[RequestQuery, Query()], running: Running, request: Request, response: Response
) -> RequestPage:
    """List the requests of one server, newest first, in pages."""
    wanted = query.model_dump(include={"instance", "action", "outcome", "since", "until"})
    async with running.database.read() as connection:
        as_of = await reads.clock(connection)
        items, last = await reads.requests_of_instance(connection, {**wanted, **query.sort_key()}, query.limit)
    link = next_link(request, response, last) if last else None
    return RequestPage(items=items, next=link, as_of=as_of)


@router.get("/{id}", summary="All requests of one id", responses=documented(404))
async def get_requests(
    id_: Annotated[Text, Path(alias="id", description="A request id, a global request id or a request key.")],
    running: Running,
    request: Request,
    wait: Annotated[
        float,
        Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait until every item is final."),
    ] = 0.0,
) -> RequestPage:
    """Return the requests of an id, in the order of their start; they can have several servers and actions."""
    deadline = asyncio.get_running_loop().time() + wait
    page, cursor = await _read_page(running, id_)
    if wait and not _is_final(page):
        # One slot for the whole wait: a later request must not end one that waits already.
        with request.app.state.limits.waiting.slot(), request.app.state.metrics.waiting.track_inprogress():
            while not _is_final(page) and not running.feed.closed:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                async with running.feed.following():
                    await running.feed.wait_for(cursor, _about(page, id_), min(left, LOOK_SECONDS))
                page, cursor = await _read_page(running, id_)
    if not page.items:
        raise NotFound(f"No request is known under {id_}; it may not have arrived yet.")
    return page


async def _read_page(running: ApiContext, id_: str) -> tuple[RequestPage, StreamCursor]:
    """Read the requests of the id, and the position after which new messages follow."""
    async with running.database.read() as connection:
        cursor = await head(connection)
        as_of = await reads.clock(connection)
        return RequestPage(items=await reads.requests_by_id(connection, id_), as_of=as_of), cursor


def _is_final(page: RequestPage) -> bool:
    return bool(page.items) and all(item.final for item in page.items)


def _about(page: RequestPage, id_: str) -> Callable[[StreamMessage], bool]:
    keys = {str(item.request_key) for item in page.items}
    return lambda message: message.concerns(id_) or str(message.item.record.get("request_key")) in keys
