"""Read-only connections to the store, with time-outs; they reconnect automatically after an outage."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Row = dict[str, Any]
Reader = AsyncConnection[DictRow]

#: How long a request waits for a connection before it reports that the database is unavailable.
PATIENCE_SECONDS = 3.0
STATEMENT_TIMEOUT = "15s"
_OPTIONS = (
    "-c search_path=stumble_derived,stumble_durable,public -c timezone=UTC"
    f" -c default_transaction_read_only=on -c statement_timeout={STATEMENT_TIMEOUT}"
)


class Database:
    """A pool of read-only connections."""

    def __init__(self, url: str, *, size: int = 8) -> None:
        self._pool = AsyncConnectionPool(
            url,
            connection_class=AsyncConnection[DictRow],
            # Unnamed statements only: PostgreSQL plans each one with its values, so absent filters cost nothing.
            kwargs={
                "row_factory": dict_row,
                "prepare_threshold": None,
                "options": _OPTIONS,
                "application_name": "stumble-api",
                "connect_timeout": 3,
            },
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            min_size=1,
            max_size=size,
            timeout=PATIENCE_SECONDS,
            reconnect_timeout=10.0,
            open=False,
            name="stumble-api",
        )

    async def open(self) -> None:
        """Start to connect; an unavailable database is not an error yet."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Yield a connection on which all statements see the same snapshot."""
        async with self._pool.connection() as connection:
            yield connection


async def _configure(connection: Reader) -> None:
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    await connection.set_read_only(True)


async def fetch(connection: Reader, statement: str, parameters: Row | None = None) -> list[Row]:
    """Return all rows of a statement as dicts."""
    # The statements are the package's own files, never input.
    cursor = await connection.execute(statement.encode(), parameters or {})
    return await cursor.fetchall()
