"""What every session with the store is set to, whatever the role, the database or a pooler says about it.

All settings are set by one statement after connecting, and not by the start-up parameter `options`: poolers refuse or
drop that parameter. The same statement returns what tells whether the session can be used as it is.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection, Connection

#: Both schemas; names in the SQL files stay short.
SEARCH_PATH: Final = "stumble_derived, stumble_durable"
#: What the SQL files and psycopg rely on: names, formats of values, quoting, transactions.
_REQUIRED: Final[Mapping[str, str]] = {
    "search_path": SEARCH_PATH,
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "jit": "off",
}
#: An URL may set others in its `options`. A stopped process must not hold its partition's lock for long. The last two
#: are newer than PostgreSQL 13; a server that does not have a setting is not asked for it.
TIME_LIMITS: Final[Mapping[str, str]] = {
    "statement_timeout": "60s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "30s",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}
NO_TIME_LIMITS: Final[Mapping[str, str]] = dict.fromkeys(TIME_LIMITS, "0")
#: Encodings of a database in which every text can be stored. SQL_ASCII stores the bytes that it gets.
_ENCODINGS: Final = ("UTF8", "SQL_ASCII")
_SET_UP: Final = """
select pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_encoding'),
       array(select pg_catalog.set_config(given.name, given.value, false)
             from pg_catalog.json_each_text(%s::pg_catalog.json) as given (name, value)
             where pg_catalog.current_setting(given.name, true) is not null)
"""
_OPTION: Final = re.compile(r"(?:-c\s*|--)([\w.-]+)\s*=")
_PROBES: Final = 3
#: How long a pooler that gave a session of its own is not examined again.
_VERIFIED_SECONDS: Final = 60.0


class SessionRefusedError(StumbleError):
    """A session cannot be used as it is: a clause about the reason, and what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


def settings_for(options: str, limits: Mapping[str, str], *, read_only: bool) -> dict[str, str]:
    """Return the settings of a session; `options` of its URL win over the time limits, and over nothing else."""
    own = {name.lower().replace("-", "_") for name in _OPTION.findall(options)}
    wanted = {name: value for name, value in limits.items() if name not in own}
    # Not "off": a database may be set to be read-only, as a store that `stumble replay` makes is.
    return {**wanted, **_REQUIRED, **({"default_transaction_read_only": "on"} if read_only else {})}


class SessionSetup:
    """Sets up the sessions of one connection string. Its methods raise `SessionRefusedError` and psycopg's errors."""

    def __init__(self, conninfo: str, settings: dict[str, str]) -> None:
        self._conninfo = conninfo
        self._parameters = (json.dumps(settings),)

    def apply(self, session: Connection[Any]) -> None:
        """Set up a session that is in autocommit mode."""
        row = session.execute(_SET_UP, self._parameters).fetchone()
        if _is_pooled(session, row):
            require_own_backend(self._conninfo)

    async def apply_async(self, session: AsyncConnection[Any]) -> None:
        """Set up a session that is in autocommit mode."""
        async with session.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            row = await (await cursor.execute(_SET_UP, self._parameters)).fetchone()
        if _is_pooled(session, row):
            await asyncio.to_thread(require_own_backend, self._conninfo)


def _is_pooled(session: Connection[Any] | AsyncConnection[Any], row: tuple[Any, ...] | None) -> bool:
    """Return whether a pooler stands between: the process id that it sent at login is not that of the backend.

    Raises `SessionRefusedError` for a database whose encoding lacks characters.
    """
    assert row is not None, "a select without a table gives a row"
    backend, encoding, _ = row
    if encoding not in _ENCODINGS:
        raise SessionRefusedError(
            f"the database has the encoding {encoding}, in which not every text can be stored",
            "create it with UTF8 (createdb --template template0 --encoding UTF8 NAME)",
        )
    return bool(backend != session.info.backend_pid)


#: Connection strings whose sessions have backends of their own, and when that was seen (monotonic clock).
_verified: dict[str, float] = {}


def require_own_backend(conninfo: str) -> None:
    """Raise `SessionRefusedError` where a pooler gives one backend of PostgreSQL to several sessions in turn.

    Two sessions at the same time have two backends, unless the pooler takes them back after each transaction.
    """
    if time.monotonic() - _verified.get(conninfo, -_VERIFIED_SECONDS) < _VERIFIED_SECONDS:
        return
    with (
        psycopg.connect(conninfo, autocommit=True) as first,
        psycopg.connect(conninfo, autocommit=True) as second,
    ):
        backend = _backend_of(first)
        for _ in range(_PROBES):
            if _backend_of(second) == backend or _backend_of(first) != backend:
                raise SessionRefusedError(
                    "a pooler in transaction mode stands between stumble and PostgreSQL, so settings and locks of a "
                    "session are lost",
                    "set pool_mode = session in the pooler, or connect to PostgreSQL directly",
                )
    _verified[conninfo] = time.monotonic()


def _backend_of(session: Connection[Any]) -> int:
    row = session.execute("select pg_catalog.pg_backend_pid()").fetchone()
    assert row is not None, "a select without a table gives a row"
    return int(row[0])
