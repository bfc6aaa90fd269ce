"""Read-only sessions with the store, with time-outs; they reconnect automatically after an outage."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from stumble.store.connect import ReaderPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Row = dict[str, Any]
Reader = AsyncConnection[DictRow]

#: How long a request waits for a connection before it reports that the database is unavailable.
PATIENCE_SECONDS = 3.0
STATEMENT_TIMEOUT = "15s"


class Database:
    """A pool of read-only connections."""

    def __init__(self, url: str, *, size: int = 8) -> None:
        self._pool = ReaderPool(
            url,
            application="stumble-api",
            max_size=size,
            patience=PATIENCE_SECONDS,
            statement_timeout=STATEMENT_TIMEOUT,
        )

    async def open(self) -> None:
        """Start to connect; an unavailable database is not an error yet."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a connection on which all statements see the same snapshot.

        Raises `PoolTimeout` while the database is away, `StoreUnavailableError` where its sessions cannot be used.
        """
        async with self._pool.connection() as connection:
            yield connection


async def fetch(connection: Reader, statement: str, parameters: Row | None = None) -> list[Row]:
    """Return all rows of a statement as dicts."""
    # The statements are the package's own files, never input.
    cursor = await connection.execute(statement.encode(), parameters or {})
    return await cursor.fetchall()
