"""`/v1/sightings`: failures seen without their server."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from stumble.api import reads
from stumble.api.context import Running
from stumble.api.links import next_link
from stumble.api.models import SightingPage
from stumble.api.params import Paged
from stumble.api.problems import documented
from stumble.outcome.records import SightingState

router = APIRouter(prefix="/v1/sightings", tags=["failures"], responses=documented(400, 503))


class SightingQuery(Paged):
    """Which sightings, and which page of them."""

    state: list[SightingState] = Field(
        ["UNJOINED", "EXPIRED"],
        max_length=4,
        description="UNJOINED waits for its server, JOINED is part of a request, AMBIGUOUS fits several servers, "
        "EXPIRED no longer waits.",
    )


@router.get("", summary="Failures seen without their server, newest first")
async def list_sightings(
    query: Annotated[SightingQuery, Query()], running: Running, request: Request, response: Response
) -> SightingPage:
    """List failures that a service reported without their server: several servers fit, or none is known yet."""
    async with running.database.read() as connection:
        items, after = await reads.sightings(connection, {"state": query.state, **query.sort_key()}, query.limit)
    return SightingPage(items=items, next=next_link(request, response, after) if after else None)
