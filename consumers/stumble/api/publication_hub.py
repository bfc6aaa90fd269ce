"""Reads new publications once for all followers: streams, live pages and waiting requests.

The hub reads publications in the order of their transactions (`load_publications_after`), so that it skips no row that
is committed late. A follower that is further behind than the hub's memory reads the store from its own cursor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests

from stumble.api.cursors import StreamCursor
from stumble.api.database import Database, Reader, Row, fetch
from stumble.api.models import StreamItem
from stumble.runtime.times import from_micros, rfc3339
from stumble.store.connect import StoreUnavailableError
from stumble.store.queries import query as statement
from stumble.store.rights import describe_store_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

_log = logging.getLogger(__name__)
OUTAGES = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.ProgrammingError,
    PoolTimeout,
    TooManyRequests,
    StoreUnavailableError,
)
POLL_SECONDS = 0.2
OUTAGE_SECONDS = 2.0
BATCH = 500
REMEMBERED = 5_000
#: How many followers read the store at the same time; the others wait, and other routes find a connection.
_READERS = 3
#: A waiting request reads the store this often, even without a message: not every change is published.
LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One publication and its position."""

    cursor: StreamCursor
    item: StreamItem

    def concerns(self, id_: str) -> bool:
        """Return whether it is about this request id, global request id or request key."""
        record = self.item.record
        names = ("request_id", "global_request_id", "request_key")
        return any(str(record[name]) == id_ for name in names if record.get(name))


async def head(connection: Reader) -> StreamCursor:
    """Return the position before everything that is not visible yet; call it before anything else is read."""
    until = await horizon(connection)
    return StreamCursor(until["incarnation"], until["xid"], 0)


async def horizon(connection: Reader) -> Row:
    """Return up to where the next statement may read (`xid`), the `newest` transaction, and their `incarnation`."""
    (result,) = await fetch(connection, statement("load_publications_horizon"))
    await connection.commit()  # the next statement needs a later snapshot
    return result


async def read_after(connection: Reader, cursor: StreamCursor, limit: int = BATCH) -> list[StreamMessage]:
    """Return publications after a position, oldest first."""
    until = await horizon(connection)
    parameters = {
        **asdict(cursor),
        "current": until["incarnation"],
        "horizon": until["xid"],
        "limit": limit,
    }
    rows = await fetch(connection, statement("load_publications_after"), parameters)
    ids = [row["subject_id"] for row in rows if row["kind"] == "failure"]
    failures = await fetch(connection, statement("load_messages_of_failures"), {"ids": ids}) if ids else ()
    messages = {row["failure_id"]: row["message"] for row in failures}
    return [_message_of(row, messages.get(row["subject_id"])) for row in rows]


class PublicationHub:
    """One reader of the publications; it reads only while there are followers."""

    def __init__(self, database: Database, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._database = database
        self._poll = poll_seconds
        self._recent: deque[StreamMessage] = deque(maxlen=REMEMBERED)
        self._floor: StreamCursor | None = None  # everything after it and up to the head is in `recent`
        self._head: StreamCursor | None = None
        self._followers = 0
        self._readers = asyncio.Semaphore(_READERS)
        self._wanted = asyncio.Event()
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Start; call it in the running loop."""
        self._task = asyncio.create_task(self._run(), name="stumble-feed")

    def release(self) -> None:
        """Let followers end: the app shuts down."""
        self._closed = True
        self._moved.set()

    async def close(self) -> None:
        """Stop reading."""
        self.release()
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def closed(self) -> bool:
        """Return whether the app shuts down."""
        return self._closed

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read publications while the context is open."""
        self._followers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers:
                self._wanted.clear()

    async def after(self, cursor: StreamCursor, patience: float) -> Sequence[StreamMessage]:
        """Return messages after a position; wait for one at most `patience` seconds. Call it while `following`."""
        moved = self._moved
        result = await self._known_after(cursor)
        if not result and not self._closed:
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), patience)
            result = await self._known_after(cursor)
        return result

    async def wait_for(self, cursor: StreamCursor, matches: Callable[[StreamMessage], bool], patience: float) -> None:
        """Return when a message after the position matches, or after `patience` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while (left := deadline - loop.time()) > 0 and not self._closed:
            for message in await self.after(cursor, left):
                if matches(message):
                    return
                cursor = message.cursor

    async def _known_after(self, cursor: StreamCursor) -> Sequence[StreamMessage]:
        if self._floor is not None and self._head is not None and cursor >= self._floor:
            if cursor >= self._head:
                return ()
            return [message for message in self._recent if message.cursor > cursor]
        async with self._readers, self._database.read() as connection:
            return await read_after(connection, cursor)

    async def _run(self) -> None:
        while True:
            if not self._wanted.is_set():
                self._forget()
                await self._wanted.wait()
            try:
                full = await self._read()
            except OUTAGES as error:
                _log.warning("the stream waits for the store: %s", describe_store_error(error, "api"))
                self._forget()
                await asyncio.sleep(OUTAGE_SECONDS)
                continue
            except Exception:  # noqa: BLE001  # nothing would notice a task that has ended
                _log.exception("Unexpected error; the stream reads the store again.")
                self._forget()
                await asyncio.sleep(OUTAGE_SECONDS)
                continue
            if not full:
                await asyncio.sleep(self._poll)

    def _forget(self) -> None:
        self._recent.clear()
        self._floor = self._head = None

    async def _read(self) -> bool:
        """Read new publications; return whether there may be more."""
        async with self._database.read() as connection:
            if self._head is None:
                self._floor = self._head = await head(connection)
            result = await read_after(connection, self._head)
        for message in result:
            if len(self._recent) == self._recent.maxlen:
                self._floor = self._recent[0].cursor
            self._recent.append(message)
            self._head = message.cursor
        if result:
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
        return len(result) == BATCH


def _message_of(row: Row, failure_message: str | None) -> StreamMessage:
    # As in the topics: a retracted record may have no other fields.
    own = {
        "failure_id" if row["kind"] == "failure" else "request_key": row["subject_id"],
        "request_key": row["request_key"],
        "instance_uuid": row["instance_uuid"],
        "published_at": _text("published_at", row["created_us"]),
    }
    record: dict[str, Any] = {name: _text(name, value) for name, value in row["payload"].items()} | own
    item = StreamItem(
        kind=row["kind"],
        subject_id=UUID(row["subject_id"]),
        revision=row["revision"],
        correction=row["correction"],
        status=row["status"],
        replaced_by=UUID(row["replaced_by"]) if row["replaced_by"] else None,
        message=failure_message,
        record=record,
    )
    return StreamMessage(StreamCursor(row["incarnation"], int(row["xid"]), row["id"]), item)


def _text(name: str, value: Any) -> Any:
    """Return a topic's time (microseconds) in the API's format; other values stay as they are."""
    time = from_micros(value) if name.endswith("_at") and isinstance(value, int) else None
    return rfc3339(time) if time else value
