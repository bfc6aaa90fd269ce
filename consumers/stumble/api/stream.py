"""`/v1/stream`: failures and outcomes when they are published, as server-sent events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from stumble.api.context import ApiContext, Running
from stumble.api.cursors import StreamCursor
from stumble.api.database import fetch
from stumble.api.problems import BadRequest, documented
from stumble.api.publication_hub import OUTAGES, StreamMessage, horizon
from stumble.outcome.records import Blame
from stumble.runtime.times import rfc3339
from stumble.settings.types import Text
from stumble.store.incarnation import Incarnation
from stumble.store.queries import query as statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

router = APIRouter(prefix="/v1/stream", tags=["stream"], responses=documented(400, 503))
PING_SECONDS = 15
RETRY_MILLISECONDS = 2000


class StreamFilter(BaseModel):
    """Which messages. Repeat kind, action, blame, exception or host to allow several values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: list[Literal["failure", "outcome"]] = Field(["failure", "outcome"], max_length=2)
    action: list[Text] | None = Field(None, max_length=50)
    instance: UUID | None = None
    project: Text | None = None
    blame: list[Blame] | None = Field(None, max_length=6, description="Failures only.")
    exception: list[Text] | None = Field(None, max_length=50, description="Failures only.")
    host: list[Text] | None = Field(None, max_length=50, description="Failures only.")
    problem: Text | None = Field(None, description="Failures only: fingerprint of their problem.")
    request: Text | None = Field(None, description="Request id, global request id or request key.")
    after: Text | None = Field(None, description="Position to continue from, where `Last-Event-ID` cannot be sent.")

    def matches(self, message: StreamMessage) -> bool:
        """Return whether a message passes the filter."""
        record = message.item.record
        singles = (
            ("instance_uuid", self.instance),
            ("owner_project_id", self.project),
            ("fingerprint", self.problem),
        )
        lists = (
            ("action", self.action),
            ("blame", self.blame),
            ("exception", self.exception),
            ("host", self.host),
        )
        return (
            message.item.kind in self.kind
            and all(value is None or str(record.get(name)) == str(value) for name, value in singles)
            and all(values is None or record.get(name) in values for name, values in lists)
            and (self.request is None or message.concerns(self.request))
        )


async def _one_of_few(request: Request) -> AsyncIterator[None]:
    """Count the stream until its response ends; raises `Unavailable` when there are too many."""
    with request.app.state.limits.streams.slot():
        yield


@router.get(
    "",
    dependencies=[Depends(_one_of_few, scope="request")],
    summary="Failures and outcomes when they are published",
    response_class=EventSourceResponse,
    responses={200: {"description": "Events `failure` and `outcome`.", "content": {"text/event-stream": {}}}},
)
async def stream(
    query: Annotated[StreamFilter, Query()],
    running: Running,
    last_event_id: Annotated[str | None, Header(max_length=64)] = None,
) -> EventSourceResponse:
    """Send each failure and each outcome, including corrections, without gaps.

    Each event's id is a position: a client that reconnects with `Last-Event-ID` continues there. Without one the stream
    starts now. A message can arrive twice, with the same subject and revision. An event `gap` means that the position
    is older than the stored publications.
    """
    cursor, gap = await _start(running, last_event_id or query.after)
    return EventSourceResponse(
        _events(running, query, cursor, gap),
        ping=PING_SECONDS,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _start(running: ApiContext, text: str | None) -> tuple[StreamCursor, datetime | None]:
    """Return the position to continue from, and the time of the oldest publication if later ones may be missing."""
    async with running.database.read() as connection:
        result = await horizon(connection)
        oldest = await fetch(connection, statement("load_oldest_publication")) if text else []
        known = [Incarnation(**row) for row in await fetch(connection, statement("load_incarnation"))]
    if not text:
        return StreamCursor(result["incarnation"], result["xid"], 0), None
    try:
        cursor = StreamCursor.decode(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    # Of a database that was just restored, the next incarnation comes after all positions; a projector begins it.
    is_ahead = (cursor.incarnation, cursor.xid) > (result["incarnation"], result["newest"])
    if is_ahead and all(one.is_current for one in known):
        raise BadRequest(
            "The Last-Event-ID is ahead of this store: it belongs to another store, or to a later state of this one; "
            "leave it out to start now."
        )
    # The very first row has id 1: while it exists, no publication has been deleted.
    is_gap = any(row["id"] > 1 and cursor < StreamCursor(row["incarnation"], row["xid"], row["id"]) for row in oldest)
    return cursor, oldest[0]["created_at"] if is_gap else None


async def _events(
    running: ApiContext, query: StreamFilter, cursor: StreamCursor, gap: datetime | None
) -> AsyncIterator[ServerSentEvent]:
    # An event without data calls no handler of the client, but sets its position immediately.
    yield ServerSentEvent(comment="stream open", id=cursor.encode(), retry=RETRY_MILLISECONDS)
    if gap:
        detail = (
            f"Publications between this position and {rfc3339(gap)} may have been deleted; "
            "read failures from /v1/failures."
        )
        yield ServerSentEvent(json.dumps({"detail": detail, "oldest": rfc3339(gap)}), event="gap", sep="\n")
    async with running.feed.following():
        while not running.feed.closed:
            try:
                result = await running.feed.after(cursor, PING_SECONDS)
            except OUTAGES:
                return  # the client reconnects with its position
            for message in result:
                cursor = message.cursor
                if query.matches(message):
                    yield ServerSentEvent(
                        message.item.model_dump_json(), event=message.item.kind, id=cursor.encode(), sep="\n"
                    )
