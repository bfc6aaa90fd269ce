"""Connections to the store, with time-outs that prevent a stuck session from blocking the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo
from psycopg_pool import ConnectionPool

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from psycopg.rows import TupleRow

#: Both schemas; names in the SQL files stay short.
SEARCH_PATH = "stumble_derived,stumble_durable"
#: A stopped process must not hold its partition's lock for longer, milliseconds.
IDLE_IN_TRANSACTION_MS = 30_000
STATEMENT_MS = 60_000
LOCK_MS = 3_000
CONNECT_SECONDS = 5


class StoreError(StumbleError):
    """The store cannot be used as it is."""


class StoreUnavailableError(StoreError):
    """No session with the database could be opened."""

    def __init__(self, url: str, cause: BaseException) -> None:
        lines = str(cause).strip().splitlines()
        #: The first line of the error of the server or its client.
        self.reason = lines[0] if lines else type(cause).__name__
        super().__init__(
            f"The database at {database_label(url)} does not answer ({self.reason}): start it, or set "
            "STUMBLE_DATABASE_URL."
        )


def connect(url: str, *, application: str = "stumble", autocommit: bool = True) -> psycopg.Connection[TupleRow]:
    """Open one session with the store; raises `StoreUnavailableError`."""
    try:
        return psycopg.connect(_conninfo(url, application), autocommit=autocommit, prepare_threshold=2)
    except psycopg.OperationalError as error:
        raise StoreUnavailableError(url, error) from error


def pool(url: str, *, application: str = "stumble", max_size: int = 4, patience: float = 30) -> ConnectionPool[Any]:
    """Open a pool that checks each session before it returns it; `patience` is the longest wait for one, seconds."""
    return ConnectionPool(
        _conninfo(url, application),
        min_size=0,
        max_size=max_size,
        timeout=patience,
        kwargs={"autocommit": True, "prepare_threshold": 2},
        check=ConnectionPool.check_connection,
        open=True,
    )


def require_database_url(url: str) -> None:
    """Raise `StoreError` unless `url` is a valid PostgreSQL URL or connection string."""
    _parsed(url)


def database_label(url: str) -> str:
    """Return host, port and name of a database, without its password. Raises `StoreError` for an invalid URL."""
    parts = _parsed(url)
    return f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"


def _parsed(url: str) -> dict[str, Any]:
    try:
        result = dict(conninfo.conninfo_to_dict(url))
    except psycopg.ProgrammingError:  # its text may hold parts of the password
        result = None
    if result is not None and _is_split_well(result):
        return result
    raise StoreError(
        "STUMBLE_DATABASE_URL is not a valid PostgreSQL URL: write postgresql://user@host:5432/database, and in a "
        "password %2F for a slash, %40 for an at sign, %25 for a percent sign."
    )


def _is_split_well(parts: dict[str, Any]) -> bool:
    """Return False where libpq takes parts of a password that is not encoded for host, port or database."""
    ports = str(parts.get("port") or 5432).split(",")
    return all(not port or port.isdecimal() for port in ports) and not any(
        "@" in str(parts.get(name)) for name in ("host", "dbname")
    )


def _conninfo(url: str, application: str) -> str:
    settings = {
        "search_path": SEARCH_PATH,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
        "statement_timeout": STATEMENT_MS,
        "lock_timeout": LOCK_MS,
        "timezone": "UTC",
        "jit": "off",
    }
    given = _parsed(url)
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    if given.get("options"):
        options = f"{options} {given['options']}"
    return conninfo.make_conninfo(
        url,
        options=options,
        application_name=application,
        connect_timeout=given.get("connect_timeout") or CONNECT_SECONDS,
        keepalives_idle=given.get("keepalives_idle") or 10,
        keepalives_interval=given.get("keepalives_interval") or 3,
        keepalives_count=given.get("keepalives_count") or 3,
    )
