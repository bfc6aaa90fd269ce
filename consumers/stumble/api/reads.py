"""Queries to the store: each returns models made from rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from stumble.api.cursors import PageCursor
from stumble.api.database import Reader, Row, fetch
from stumble.api.models import FINAL, Failure, Request, Sighting, Step
from stumble.runtime.times import from_micros
from stumble.store.queries import query as statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def as_key(text: str) -> UUID | None:
    """Return the id as a uuid, when it is one: then it may be a request key."""
    try:
        return UUID(text)
    except ValueError:
        return None


async def failures(connection: Reader, filters: Row, limit: int) -> tuple[list[Failure], PageCursor | None]:
    """Read one page of failures, newest first, and where the next page starts, if there is one."""
    rows = await fetch(connection, statement("load_failures_page"), {**filters, "limit": limit + 1})
    more, rows = len(rows) > limit, rows[:limit]
    after = PageCursor(rows[-1]["occurred_at"], rows[-1]["failure_id"]) if more else None
    return [Failure.model_validate(row) for row in rows], after


async def failure(connection: Reader, failure_id: UUID) -> Row | None:
    """Read the row of one failure."""
    rows = await fetch(connection, statement("load_failure"), {"failure_id": failure_id})
    return rows[0] if rows else None


async def event_body(connection: Reader, event_id: UUID | None) -> bytes | None:
    """Read the framed bytes of a stored event."""
    rows = await fetch(connection, statement("load_event_body"), {"event_id": event_id}) if event_id else []
    return bytes(rows[0]["body"]) if rows else None


async def requests_by_id(connection: Reader, id_: str) -> list[Request]:
    """Read all requests that a request id, a global request id or a request key means, in the order of their start."""
    parameters = {"id": id_, "key": as_key(id_)}
    return await _complete(connection, await fetch(connection, statement("load_requests_by_id"), parameters))


async def requests_of_instance(connection: Reader, filters: Row, limit: int) -> tuple[list[Request], PageCursor | None]:
    """Read one page of a server's requests, newest first, and where the next page starts, if there is one."""
    rows = await fetch(connection, statement("load_requests_of_instance"), {**filters, "limit": limit + 1})
    more, rows = len(rows) > limit, rows[:limit]
    after = PageCursor(rows[-1]["sort_at"], rows[-1]["request_key"]) if more else None
    return await _complete(connection, rows), after


async def last_failure(connection: Reader, instance: UUID) -> Failure | None:
    """Read the last failure of a server."""
    rows = await fetch(connection, statement("load_last_failure_of_instance"), {"instance": instance})
    return Failure.model_validate(rows[0]) if rows else None


async def sightings(connection: Reader, filters: Row, limit: int) -> tuple[list[Sighting], PageCursor | None]:
    """Read one page of sightings, newest first, and where the next page starts, if there is one."""
    rows = await fetch(connection, statement("load_sightings_page"), {**filters, "limit": limit + 1})
    more, rows = len(rows) > limit, rows[:limit]
    after = PageCursor(rows[-1]["occurred_at"], rows[-1]["event_id"]) if more else None
    return [Sighting.model_validate(row) for row in rows], after


async def facts(connection: Reader, instance: UUID, request_ids: list[str]) -> list[bytes]:
    """Read the packed facts of some of a server's requests, and of the server itself."""
    parameters = {"instance": instance, "request_ids": request_ids}
    return [bytes(row["facts"]) for row in await fetch(connection, statement("load_facts_of_instance"), parameters)]


async def clock(connection: Reader) -> datetime:
    """Read the database's time, by which `updated_at` is written too."""
    now: datetime = (await fetch(connection, statement("load_database_time")))[0]["now"]
    return now


async def _complete(connection: Reader, rows: Sequence[Row]) -> list[Request]:
    keys = [row["request_key"] for row in rows]
    result = await fetch(connection, statement("load_failures_of_requests"), {"request_keys": keys}) if keys else []
    by_request: dict[UUID, list[Failure]] = {}
    for row in result:
        by_request.setdefault(row["request_key"], []).append(Failure.model_validate(row))
    return [_request(row, by_request.get(row["request_key"], [])) for row in rows]


def _request(row: Row, of_it: Sequence[Failure]) -> Request:
    return Request.model_validate(
        {
            **row,
            "message": _message_of(row["reason"], of_it),
            "labels": row["labels"] or {},
            "final": row["outcome"] in FINAL,
            "failures": of_it,
            "steps": [_step(step) for step in row["steps"] or ()],
        },
    )


def _message_of(reason: str | None, of_it: Sequence[Failure]) -> str | None:
    """Return the message of the failure that gave a request's reason."""
    given = (one.message for one in reversed(of_it) if reason and one.reason and reason.startswith(one.reason))
    return next(given, None)


def _step(step: dict[str, Any]) -> Step:
    """Read a step as the projector stores it: times are microseconds there."""
    times = {name: from_micros(step.get(name)) for name in ("started_at", "finished_at")}
    return Step.model_validate({**step, **times})
