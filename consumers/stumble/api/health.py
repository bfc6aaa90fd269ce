"""`/healthz` and `/readyz`: whether the process runs, and whether its responses are reliable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
from fastapi import APIRouter, Request, Response

from stumble.api.context import ApiContext, Running
from stumble.api.database import fetch
from stumble.api.models import Alive, PartitionProgress, Ready
from stumble.api.problems import explain
from stumble.api.publication_hub import OUTAGES
from stumble.store.connect import StoreUnavailableError
from stumble.store.incarnation import Incarnation, explain_catch_up
from stumble.store.queries import query as statement
from stumble.store.version import StoreVersion, VersionFault, find_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stumble.api.database import Row

router = APIRouter(tags=["health"])
UNAVAILABLE = 503
#: How long /readyz waits for the database; its pool reports one that refuses connections sooner.
_ANSWER_SECONDS = 8.0
#: The state of a partition that the projector reads.
_READING = "READING"


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
    if result.status == "unavailable":  # not for data that is stale: no other API process would have newer data
        response.status_code = UNAVAILABLE
    return result


async def _check(running: ApiContext, topic: str) -> Ready:
    # Not `wait_for`: it cancels the statement, and psycopg then waits for the database to confirm that.
    reading = asyncio.ensure_future(_read(running, topic))
    reading.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({reading}, timeout=_ANSWER_SECONDS)
    if not reading.done():
        reason = f"The database has not answered for {_ANSWER_SECONDS:.0f} s."
        return Ready(status="unavailable", reasons=[reason], database=False, migrations=False)
    try:
        fault, rows, catch_up = reading.result()
    except OUTAGES as error:
        reached = isinstance(error, (psycopg.ProgrammingError, StoreUnavailableError))
        return Ready(status="unavailable", reasons=[explain(error)], database=reached, migrations=False)
    reasons = [] if rows else ["No projector has stored anything yet."]
    if fault is not None:
        reasons = [f"The store {fault.problem}: {fault.remedy}."]
        # The columns that a release reads stay in the next one's store, so that APIs can be upgraded after projectors.
        if not fault.is_newer:
            return Ready(status="unavailable", reasons=reasons, database=True, migrations=False)
    partitions = [_progress(row) for row in rows]
    blocks = list(_blocks(partitions))
    reasons += [*blocks, *([catch_up] if catch_up else [])]
    return Ready(
        status="stale" if blocks else "ready",
        reasons=reasons,
        database=True,
        migrations=fault is None,
        lag_seconds=rows[0]["lag_seconds"] if rows else None,
        partitions=partitions,
    )


async def _read(running: ApiContext, topic: str) -> tuple[VersionFault | None, list[Row], str | None]:
    """Return the fault of the store's version, the partitions' progress, and why counters may be lower than before."""
    async with running.database.read() as connection:
        versions = await fetch(connection, statement("load_store_version"))
        version = StoreVersion(**versions[0]) if versions else StoreVersion(None)
        fault = find_fault(version)
        if fault is not None and not fault.is_newer:
            return fault, [], None
        rows = await fetch(connection, statement("load_partition_progress"))
        (incarnation,) = await fetch(connection, statement("load_incarnation"))
        (counts,) = await fetch(connection, statement("count_partitions_to_catch_up"), {"topics": [topic]})
        known = Incarnation(**incarnation) if incarnation["number"] is not None else None
        catch_up = explain_catch_up(known, counts["waiting"], counts["partitions"]) if counts["partitions"] else None
        return fault, rows, catch_up


def _blocks(partitions: Sequence[PartitionProgress]) -> Iterator[str]:
    """Yield why the projectors do not store everything, a sentence for each reason."""
    if partitions and all(one.state is None for one in partitions):
        yield "No projector has reported for 12 seconds: start `stumble projector`, or read its log."
    for one in partitions:
        if one.state not in (None, _READING):
            yield f"Partition {one.partition} of {one.topic}: {one.description}."


def _progress(row: Row) -> PartitionProgress:
    reported = {name: row[name] for name in ("state", "description", "since") if row["is_reported"]}
    return PartitionProgress(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["next_offset"],
        last_record_at=row["last_record_at"],
        **reported,
    )
