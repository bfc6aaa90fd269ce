"""`/healthz` and `/readyz`: does it run, and can its answers be relied on."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from alembic.script import ScriptDirectory
from fastapi import APIRouter, Response

from stumble.api.context import Context, Running
from stumble.api.database import fetch
from stumble.api.models import Alive, PartitionProgress, Ready
from stumble.api.problems import explain
from stumble.api.publication_hub import OUTAGES
from stumble.store import migrate
from stumble.store.queries import query as statement

if TYPE_CHECKING:
    from stumble.api.database import Row

router = APIRouter(tags=["health"])
UNAVAILABLE = 503


@router.get("/healthz", summary="Whether the process answers")
async def healthz() -> Alive:
    """Answer; says nothing of the store."""
    return Alive()


@router.get(
    "/readyz",
    summary="Whether answers can be relied on, and how fresh they are",
    responses={UNAVAILABLE: {"model": Ready, "description": "The store can't be read."}},
)
async def readyz(running: Running, response: Response) -> Ready:
    """Look at the database, its version and the projector's progress."""
    found = await _look(running)
    if found.status != "ready":
        response.status_code = UNAVAILABLE
    return found


async def _look(running: Context) -> Ready:
    try:
        version, rows = await _read(running)
    except OUTAGES as error:
        reached = isinstance(error, psycopg.ProgrammingError)
        return Ready(status="unavailable", reasons=[explain(error)], database=reached, migrations=False)
    if version != newest_version():
        reason = f"The store is at version {version}, this API needs {newest_version()}: run `stumble store migrate`."
        return Ready(status="unavailable", reasons=[reason], database=True, migrations=False)
    partitions = [_progress(row) for row in rows]
    reasons = [] if partitions else ["No projector has read anything yet."]
    return Ready(
        status="ready",
        reasons=reasons,
        database=True,
        migrations=True,
        lag_seconds=rows[0]["lag_seconds"] if rows else None,
        partitions=partitions,
    )


async def _read(running: Context) -> tuple[str | None, list[Row]]:
    async with running.database.read() as connection:
        versions = await fetch(connection, statement("store_version"))
        if not versions:
            return None, []
        return versions[0]["version_num"], await fetch(connection, statement("partition_progress"))


def _progress(row: Row) -> PartitionProgress:
    return PartitionProgress(
        topic=row["topic"], partition=row["partition"], offset=row["next_offset"], read_until=row["read_until"]
    )


@cache
def newest_version() -> str | None:
    """Version of the store that this program was written for."""
    folder = Path(migrate.__file__).with_name("migrations")
    return ScriptDirectory(str(folder)).get_current_head()
