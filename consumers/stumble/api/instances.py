"""`/v1/instances`: a server's requests and failures, independent of its state."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from stumble.api import reads
from stumble.api.context import Running
from stumble.api.links import next_link
from stumble.api.models import Instance
from stumble.api.params import Paged
from stumble.api.problems import NotFound, documented

router = APIRouter(prefix="/v1/instances", tags=["instances"], responses=documented(400, 503))
EVERYTHING = {"action": None, "outcome": None, "since": None, "until": None}
FIRST = {"at": None, "id": None}


@router.get("/{uuid}", summary="One server", responses=documented(404))
async def get_instance(
    uuid: UUID, query: Annotated[Paged, Query()], running: Running, request: Request, response: Response
) -> Instance:
    """Return a server's last request, its last failure, and its requests in pages."""
    async with running.database.read() as connection:
        as_of = await reads.clock(connection)
        wanted = {"instance": uuid, **EVERYTHING}
        history, after = await reads.requests_of_instance(connection, {**wanted, **query.sort_key()}, query.limit)
        newest = history[:1]
        if query.cursor:
            newest, _ = await reads.requests_of_instance(connection, {**wanted, **FIRST}, 1)
        failure = await reads.last_failure(connection, uuid)
    if not newest and failure is None:
        raise NotFound(f"Instance {uuid} is unknown: no action on it has been recorded.")
    named = newest[0] if newest else failure
    return Instance(
        instance_uuid=uuid,
        display_name=named.display_name if named else None,
        owner_project_id=named.owner_project_id if named else None,
        last_request=newest[0] if newest else None,
        last_failure=failure,
        history=history,
        next=next_link(request, response, after) if after else None,
        as_of=as_of,
    )
