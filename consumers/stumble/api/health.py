"""`/healthz` and `/readyz`: whether the process runs, and whether its responses are reliable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from fastapi import APIRouter, Request, Response

from stumble.api.context import ApiContext, Running
from stumble.api.database import fetch
from stumble.api.models import Alive, PartitionProgress, Ready
from stumble.api.problems import explain
from stumble.api.publication_hub import OUTAGES
from stumble.store.incarnation import Incarnation, explain_catch_up
from stumble.store.queries import query as statement
from stumble.store.version import StoreVersion, find_fault

if TYPE_CHECKING:
    from stumble.api.database import Row

router = APIRouter(tags=["health"])
UNAVAILABLE = 503


@router.get("/healthz", summary="Whether the process answers")
async def healthz() -> Alive:
    """Answer without a check of the store."""
    return Alive()


@router.get(
    "/readyz",
    summary="Whether responses are reliable, and how fresh they are",
    responses={UNAVAILABLE: {"model": Ready, "description": "The store cannot be read."}},
)
async def readyz(running: Running, request: Request, response: Response) -> Ready:
    """Check the database, its version and the projector's progress."""
    result = await _check(running, request.app.state.settings.kafka.topics.actions)
    if result.status != "ready":
        response.status_code = UNAVAILABLE
    return result


async def _check(running: ApiContext, topic: str) -> Ready:
    try:
        version, rows, catch_up = await _read(running, topic)
    except OUTAGES as error:
        reached = isinstance(error, psycopg.ProgrammingError)
        return Ready(status="unavailable", reasons=[explain(error)], database=reached, migrations=False)
    fault = find_fault(version)
    if fault is not None:
        reason = f"The store {fault.problem}: {fault.remedy}."
        return Ready(status="unavailable", reasons=[reason], database=True, migrations=False)
    partitions = [_progress(row) for row in rows]
    return Ready(
        status="ready",
        reasons=[catch_up] if catch_up else [],
        database=True,
        migrations=True,
        lag_seconds=rows[0]["lag_seconds"] if rows else None,
        partitions=partitions,
    )


async def _read(running: ApiContext, topic: str) -> tuple[StoreVersion, list[Row], str | None]:
    """Return the store's version, the progress of its partitions, and why its counters may be lower than they were."""
    async with running.database.read() as connection:
        versions = await fetch(connection, statement("load_store_version"))
        version = StoreVersion(**versions[0]) if versions else StoreVersion(None)
        if find_fault(version) is not None:
            return version, [], None
        rows = await fetch(connection, statement("load_partition_progress"))
        (incarnation,) = await fetch(connection, statement("load_incarnation"))
        (counts,) = await fetch(connection, statement("count_partitions_to_catch_up"), {"topics": [topic]})
        known = Incarnation(**incarnation) if incarnation["number"] is not None else None
        return version, rows, explain_catch_up(known, counts["waiting"], counts["partitions"])


def _progress(row: Row) -> PartitionProgress:
    return PartitionProgress(
        topic=row["topic"], partition=row["partition"], offset=row["next_offset"], last_record_at=row["last_record_at"]
    )
