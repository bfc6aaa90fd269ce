"""`/v1/failures`: failures and their details."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from stumble.api import reads
from stumble.api.context import ApiContext, Running
from stumble.api.links import next_link
from stumble.api.models import Details, FailureDetail, FailurePage
from stumble.api.params import FailureFilter, FailureQuery
from stumble.api.problems import NotFound, documented
from stumble.wire.codec import Decoder
from stumble.wire.errors import WireError
from stumble.wire.schemas import EVENT

router = APIRouter(prefix="/v1/failures", tags=["failures"], responses=documented(400, 503))
_DECODER = Decoder(EVENT)


def filters(query: FailureFilter) -> dict[str, Any]:
    """Return the parameters of `load_failures_page` that a query sets."""
    return {name: getattr(query, name) for name in FailureFilter.model_fields}


@router.get("", summary="Failures, newest first")
async def list_failures(
    query: Annotated[FailureQuery, Query()], running: Running, request: Request, response: Response
) -> FailurePage:
    """List failures, newest first, filtered and in pages."""
    async with running.database.read() as connection:
        items, last = await reads.failures(connection, {**filters(query), **query.sort_key()}, query.limit)
    link = next_link(request, response, last) if last else None
    return FailurePage(items=items, next=link)


@router.get("/{failure_id}", summary="One failure with all details", responses=documented(404))
async def get_failure(failure_id: UUID, running: Running) -> FailureDetail:
    """Return a failure with raw message and traceback: only operators reach the API, on loopback."""
    return await detailed(running, failure_id)


async def detailed(running: ApiContext, failure_id: UUID) -> FailureDetail:
    """Read a failure with the details of the event that shows it best; raises `NotFound`."""
    async with running.database.read() as connection:
        row = await reads.failure(connection, failure_id)
        if row is None:
            raise NotFound(f"No failure {failure_id} is known.")
        # If no sighting has a message, the first one still shows the publisher.
        detail_event_id: UUID | None = row["detail_event_id"] or next(iter(row["event_ids"] or ()), None)
        body = await reads.event_body(connection, detail_event_id)
    details = _details(detail_event_id, body) if detail_event_id and body else None
    return FailureDetail.model_validate({**row, "sightings": row["event_ids"] or [], "details": details})


def _details(event_id: UUID, body: bytes) -> Details | None:
    try:
        event = _DECODER.decode(body)
    except WireError:
        return None
    source, failure = event.get("source") or {}, event.get("failure") or {}
    return Details(
        event_id=event_id,
        event_type=source.get("event_type"),
        signal=source.get("signal"),
        publisher=source.get("publisher"),
        service=event.get("service"),
        exception=failure.get("exception"),
        module=failure.get("module"),
        function=failure.get("function"),
        chain=failure.get("chain") or [],
        message=failure.get("message"),
        traceback=failure.get("traceback"),
    )
