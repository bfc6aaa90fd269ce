"""Dead letters over HTTP: looked through, counted, exported, sent again. Loopback and admin only, as all of it is."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse
from psycopg import Connection
from pydantic import Field, StringConstraints

from stumble.api.dead_letter_models import (
    DeadLetterDetail,
    DeadLetterItem,
    DeadLetterPage,
    DeadLetterStatsResponse,
    RedriveResponse,
)
from stumble.api.manage import Session, from_here
from stumble.api.params import Limit
from stumble.api.problems import Conflict, NotFound, Unavailable, documented
from stumble.deadletters import json_views
from stumble.deadletters.dead_letter import RecordId
from stumble.deadletters.reader import KafkaUnavailableError
from stumble.deadletters.selection import DeadLetterFilter
from stumble.deadletters.service import DeadLetterService, RedriveOptions
from stumble.deadletters.stats import DeadLetterStats
from stumble.deadletters.status import BusyError

T = TypeVar("T")
#: One answer looks at about so many letters at most, and for so long.
_MOST_DEAD_LETTERS = 5000
_MOST_SECONDS = 10.0
_KAFKA_SECONDS = 5.0

PlaceText = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}:[0-9]{1,18}$")]
Cursor = Annotated[PlaceText | None, Field(description="From `next` of the answer before.")]
Partition = Annotated[int, Path(ge=0, lt=2**31)]
Offset = Annotated[int, Path(ge=0, lt=10**18)]


class DeadLetterQuery(DeadLetterFilter):
    """Which letters, and from where on."""

    cursor: Cursor = None

    def start(self) -> RecordId | None:
        """Where to begin."""
        return RecordId.read(self.cursor) if self.cursor else None


class DeadLetterPageQuery(DeadLetterQuery):
    """Which letters, from where on, and how many."""

    limit: Limit = 50


class RedriveOrder(DeadLetterQuery):
    """Which letters to send again, and how."""

    limit: Limit = 500
    dry_run: bool = Field(False, description="Say what would happen, letter by letter, and send nothing.")
    force: bool = Field(False, description="Parked letters too.")
    again: bool = Field(False, description="Letters that were sent before too.")
    readable: bool = Field(False, description="Only those that this version can read.")

    @property
    def orders(self) -> RedriveOptions:
        """How to re-drive."""
        return RedriveOptions(self.dry_run, self.force, self.again, self.readable)


router = APIRouter(tags=["dead letters"], responses=documented(400, 503), dependencies=[Depends(from_here)])


@router.get("/v1/dead-letters", summary="Dead letters, oldest first")
def get_dead_letters(
    request: Request, session: Session, page: Annotated[DeadLetterPageQuery, Query()]
) -> DeadLetterPage:
    """List what could not be taken in, with why, what became of it and what sending it again would come to.

    `next` is given as long as there may be more; an answer can be empty and still have one.
    """
    items: list[DeadLetterItem] = []
    with _desk(request, session) as desk:
        for chunk in _bounded(desk, desk.chunks(page, page.start())):
            for entry in chunk:
                if len(items) == page.limit:
                    return DeadLetterPage(items=items, next=str(entry.dead_letter.record_id))
                items.append(DeadLetterItem.model_validate(json_views.brief(entry)))
        return DeadLetterPage(items=items, next=_next(desk))


@router.get("/v1/dead-letters/stats", summary="How many, by reason")
def get_statistics(
    request: Request, session: Session, which: Annotated[DeadLetterQuery, Query()]
) -> DeadLetterStatsResponse:
    """Count letters by stage, exception and message. `next` is given where an answer does not reach the end."""
    result = DeadLetterStats()
    with _desk(request, session) as desk:
        for chunk in _bounded(desk, desk.chunks(which, which.start())):
            for entry in chunk:
                result.add(entry)
        body = {**json_views.statistics(result), "looked_at": desk.looked_at, "next": _next(desk)}
    return DeadLetterStatsResponse.model_validate(body)


@router.get(
    "/v1/dead-letters/export",
    summary="Byte for byte",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
def export(request: Request, which: Annotated[DeadLetterQuery, Query()]) -> StreamingResponse:
    """Give one JSON line a letter, with key, value and headers in base64."""
    lines = _lines(request, which)
    begun = next(lines)  # Kafka is asked before the answer begins: an error can still be told
    return StreamingResponse(chain([begun], lines), media_type="application/x-ndjson")


@router.get("/v1/dead-letters/{partition}/{offset}", summary="One dead letter", responses=documented(404))
def get_dead_letter(request: Request, session: Session, partition: Partition, offset: Offset) -> DeadLetterDetail:
    """Tell all of a letter: its event where it can be read, and the bytes as they are."""
    with _desk(request, session) as desk:
        entry = desk.one(RecordId(partition, offset))
    if entry is None:
        raise NotFound(f"The dead letter topic holds nothing at {partition}:{offset}.")
    return DeadLetterDetail.model_validate(json_views.whole(entry))


@router.post("/v1/dead-letters/redrive", summary="Send again", responses=documented(409))
def redrive(request: Request, session: Session, order: RedriveOrder) -> RedriveResponse:
    """Send records again to where they came from, byte for byte, and say what became of each.

    Repeat with `next` as `cursor`, and with `until`, for as long as there is a `next`. What was sent is remembered:
    the same order given twice sends nothing twice.
    """
    until = order.until or datetime.now(UTC)  # what comes back meanwhile is not sent at once again
    which = order.model_copy(update={"until": until})
    result = []
    with _desk(request, session) as desk:
        for chunk in _bounded(desk, desk.redrive(which, order.orders, start=order.start(), limit=order.limit)):
            result += [json_views.outcome(item) for item in chunk]
        body = {"items": result, "dry_run": order.dry_run, "looked_at": desk.looked_at, "next": _next(desk)}
    return RedriveResponse.model_validate({**body, "until": until})


@contextmanager
def _desk(request: Request, session: Connection[Any]) -> Iterator[DeadLetterService]:
    try:
        with DeadLetterService(request.app.state.settings.kafka, session, seconds=_KAFKA_SECONDS) as desk:
            yield desk
    except KafkaUnavailableError as error:
        raise Unavailable(str(error)) from error
    except BusyError as error:
        raise Conflict(str(error)) from error


def _bounded(desk: DeadLetterService, chunks: Generator[T]) -> Iterator[T]:
    """Pass chunks on until one answer has looked at enough."""
    end = time.monotonic() + _MOST_SECONDS
    try:
        for chunk in chunks:
            yield chunk
            if desk.looked_at >= _MOST_DEAD_LETTERS or time.monotonic() > end:
                return
    finally:
        chunks.close()


def _next(desk: DeadLetterService) -> str | None:
    return str(desk.next) if desk.next else None


def _lines(request: Request, which: DeadLetterQuery) -> Iterator[str]:
    with request.app.state.writers.connection() as session, _desk(request, session) as desk:
        yield ""
        for entry in desk.entries(which, which.start()):
            yield json.dumps(json_views.whole(entry), ensure_ascii=False, separators=(",", ":")) + "\n"


__all__ = ["router"]
