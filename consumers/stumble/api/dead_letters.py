"""`/v1/dead-letters`: list, count, export, send again. For admins on loopback only, like the whole API."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field, StringConstraints

from stumble.api.dead_letter_models import (
    DeadLetterDetail,
    DeadLetterItem,
    DeadLetterPage,
    DeadLetterStatsResponse,
    RedriveResponse,
)
from stumble.api.limits import ConcurrencyLimit
from stumble.api.params import Limit
from stumble.api.problems import NotFound, documented
from stumble.deadletters import json_views
from stumble.deadletters.dead_letter import RecordId
from stumble.deadletters.selection import DeadLetterFilter
from stumble.deadletters.service import DeadLetterService, RedriveOptions
from stumble.deadletters.stats import DeadLetterStats
from stumble.store.connect import connect

T = TypeVar("T")
#: Limits of one response: dead letters to read, and seconds.
_MOST_DEAD_LETTERS = 5000
_MOST_SECONDS = 10.0
_KAFKA_SECONDS = 5.0
#: An export that takes longer is cut off, so that a slow reader does not hold its place for ever.
_MOST_EXPORT_SECONDS = 900.0

RecordIdText = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}:[0-9]{1,18}$")]
Cursor = Annotated[RecordIdText | None, Field(description="From `next` of the previous response.")]
Partition = Annotated[int, Path(ge=0, lt=2**31)]
Offset = Annotated[int, Path(ge=0, lt=10**18)]


class DeadLetterQuery(DeadLetterFilter):
    """Which dead letters, and where to start."""

    cursor: Cursor = None

    def start(self) -> RecordId | None:
        """Return where to start."""
        return RecordId.read(self.cursor) if self.cursor else None


class DeadLetterPageQuery(DeadLetterQuery):
    """Which dead letters, where to start, and how many."""

    limit: Limit = 50


class RedriveOrder(DeadLetterQuery):
    """Which dead letters to send again, and how."""

    limit: Limit = 500
    dry_run: bool = Field(False, description="Only report what would happen to each dead letter.")
    force: bool = Field(False, description="Send parked dead letters, too.")
    again: bool = Field(False, description="Send dead letters that were sent before, too.")
    unreadable: bool = Field(False, description="Send those that this version cannot decode, too.")

    @property
    def orders(self) -> RedriveOptions:
        """Return how to redrive."""
        return RedriveOptions(self.dry_run, self.force, self.again, self.unreadable)


@contextmanager
def _service(request: Request, limit: ConcurrencyLimit) -> Iterator[DeadLetterService]:
    """Open sessions with store and Kafka; raises `Unavailable` where the limit's slots are taken."""
    settings = request.app.state.settings
    with (
        limit.slot(),
        connect(settings.database_url.get_secret_value(), application="stumble-api-dead-letters") as session,
        DeadLetterService(settings.kafka, session, seconds=_KAFKA_SECONDS) as service,
    ):
        yield service


def _lines(request: Request, which: Annotated[DeadLetterQuery, Query()]) -> Iterator[Iterator[str]]:
    """Yield the lines of an export; the sessions end after the response was sent or its client is gone."""
    with _service(request, request.app.state.limits.exports) as service:
        yield _exported(service, which)


router = APIRouter(tags=["dead letters"], responses=documented(400, 503))


@router.get("/v1/dead-letters", summary="Dead letters, oldest first")
def get_dead_letters(request: Request, page: Annotated[DeadLetterPageQuery, Query()]) -> DeadLetterPage:
    """List dead letters with their reason, their state and the result to expect if they are sent again.

    `next` is set as long as there may be more; a response can be empty and still have it.
    """
    items: list[DeadLetterItem] = []
    with _service(request, request.app.state.limits.dead_letters) as service:
        for chunk in _bounded(service, service.chunks(page, page.start())):
            for entry in chunk:
                if len(items) == page.limit:
                    return DeadLetterPage(items=items, next=str(entry.dead_letter.record_id))
                items.append(DeadLetterItem.model_validate(json_views.brief(entry)))
        return DeadLetterPage(items=items, next=_next(service))


@router.get("/v1/dead-letters/stats", summary="Numbers of dead letters by reason")
def get_statistics(request: Request, which: Annotated[DeadLetterQuery, Query()]) -> DeadLetterStatsResponse:
    """Count dead letters by stage, exception and message. `next` is set if a response does not reach the end."""
    result = DeadLetterStats()
    with _service(request, request.app.state.limits.dead_letters) as service:
        for chunk in _bounded(service, service.chunks(which, which.start())):
            for entry in chunk:
                result.add(entry)
        body = {**json_views.statistics(result), "looked_at": service.looked_at, "next": _next(service)}
    return DeadLetterStatsResponse.model_validate(body)


@router.get(
    "/v1/dead-letters/export",
    summary="Export byte for byte",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
def export(lines: Annotated[Iterator[str], Depends(_lines, scope="request")]) -> StreamingResponse:
    """Return one JSON line per dead letter, with key, value and headers in base64.

    A response that is not complete after 15 minutes is cut off; continue with `partition:offset` of the last line as
    `cursor`.
    """
    return StreamingResponse(lines, media_type="application/x-ndjson")


@router.get("/v1/dead-letters/{partition}/{offset}", summary="One dead letter", responses=documented(404))
def get_dead_letter(request: Request, partition: Partition, offset: Offset) -> DeadLetterDetail:
    """Return one dead letter with its event, if it can be decoded, and its original bytes."""
    with _service(request, request.app.state.limits.dead_letters) as service:
        entry = service.one(RecordId(partition, offset))
    if entry is None:
        raise NotFound(f"The dead letter topic has no record at {partition}:{offset}.")
    return DeadLetterDetail.model_validate(json_views.whole(entry))


@router.post("/v1/dead-letters/redrive", summary="Send again", responses=documented(409))
def redrive(request: Request, order: RedriveOrder) -> RedriveResponse:
    """Send records again to their original topic and partition, byte for byte, and return the result of each.

    Repeat with `next` as `cursor`, and with `until`, as long as there is a `next`. The store knows what was sent: the
    same call twice sends nothing twice.
    """
    until = order.until or datetime.now(UTC)  # records that come back meanwhile are not sent again
    which = order.model_copy(update={"until": until})
    result = []
    with _service(request, request.app.state.limits.dead_letters) as service:
        for chunk in _bounded(service, service.redrive(which, order.orders, start=order.start(), limit=order.limit)):
            result += [json_views.outcome(item) for item in chunk]
        body = {"items": result, "dry_run": order.dry_run, "looked_at": service.looked_at, "next": _next(service)}
    return RedriveResponse.model_validate({**body, "until": until})


def _bounded(service: DeadLetterService, chunks: Generator[T]) -> Iterator[T]:
    """Yield chunks until the limits of one response are reached."""
    end = time.monotonic() + _MOST_SECONDS
    try:
        for chunk in chunks:
            yield chunk
            if service.looked_at >= _MOST_DEAD_LETTERS or time.monotonic() > end:
                return
    finally:
        chunks.close()


def _next(service: DeadLetterService) -> str | None:
    return str(service.next) if service.next else None


def _exported(service: DeadLetterService, which: DeadLetterQuery) -> Iterator[str]:
    end = time.monotonic() + _MOST_EXPORT_SECONDS
    for entry in service.entries(which, which.start()):
        yield json.dumps(json_views.whole(entry), ensure_ascii=False, separators=(",", ":")) + "\n"
        if time.monotonic() > end:
            raise TimeoutError("The export of dead letters took too long.")


__all__ = ["router"]
