"""The one place that opens sessions with the store, set up so that nothing depends on defaults of role or database."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection, IsolationLevel, conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from stumble.store.session import NO_TIME_LIMITS, TIME_LIMITS, SessionRefusedError, SessionSetup, settings_for
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg.rows import TupleRow

CONNECT_SECONDS = 5


class StoreError(StumbleError):
    """The store cannot be used as it is."""


class StoreUnavailableError(StoreError):
    """No session with the database could be opened, or none that can be used."""

    def __init__(self, url: str, cause: BaseException) -> None:
        lines = str(cause).strip().splitlines()
        #: The first line of the error of the server or its client.
        self.reason = lines[0] if lines else type(cause).__name__
        #: What to do, where that is known.
        self.remedy: str | None = None
        text = (
            f"The database at {database_label(url)} does not answer ({self.reason}): start it, or set "
            "STUMBLE_DATABASE_URL."
        )
        if isinstance(cause, SessionRefusedError):
            self.reason, self.remedy = cause.reason, cause.remedy
            text = f"The database at {database_label(url)} cannot be used: {self.reason}; {self.remedy}."
        super().__init__(text)


def connect(
    url: str,
    *,
    application: str = "stumble",
    autocommit: bool = True,
    writes: bool = True,
    limits: Mapping[str, str] = TIME_LIMITS,
) -> psycopg.Connection[TupleRow]:
    """Open one session with the store; raises `StoreUnavailableError`.

    Where the URL names several servers and does not say which of them to use, a session that writes uses the primary.
    """
    info = _conninfo(url, application, writes=writes)
    session = None
    try:
        session = psycopg.connect(info, autocommit=True, prepare_threshold=2)
        _setup(info, limits, read_only=not writes).apply(session)
    except (psycopg.Error, SessionRefusedError) as error:
        if session is not None:
            session.close()
        raise StoreUnavailableError(url, error) from error
    session.autocommit = autocommit
    return session


def connect_without_limits(url: str, application: str) -> psycopg.Connection[TupleRow]:
    """Open a session, not in autocommit mode, without time limits except those in the URL's `options`."""
    return connect(url, application=application, autocommit=False, limits=NO_TIME_LIMITS)


class WriterPool(ConnectionPool[psycopg.Connection[Any]]):
    """A pool that checks each session before it returns it; `patience` is the longest wait for one, seconds.

    While no session can be opened it raises psycopg's `PoolTimeout`; `StoreUnavailableError` where none can be used.
    """

    def __init__(self, url: str, *, application: str = "stumble", max_size: int = 4, patience: float = 30) -> None:
        info = _conninfo(url, application, writes=True)
        self._refusal = _Refusal(url)
        self._session_setup = _setup(info, TIME_LIMITS, read_only=False)
        super().__init__(
            info,
            min_size=0,
            max_size=max_size,
            timeout=patience,
            kwargs={"autocommit": True, "prepare_threshold": 2},
            configure=self._set_up_session,
            check=ConnectionPool.check_connection,
            open=True,
        )

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[Any]:
        """Return a session."""
        with self._refusal.explained():
            return super().getconn(timeout)

    def _set_up_session(self, session: psycopg.Connection[Any]) -> None:
        with self._refusal.noted():
            self._session_setup.apply(session)


class ReaderPool(AsyncConnectionPool[AsyncConnection[DictRow]]):
    """A pool, not opened yet, of read-only sessions; all statements of a transaction see one snapshot.

    It raises what `WriterPool` raises. `statement_timeout` is in PostgreSQL's notation.
    """

    def __init__(self, url: str, *, application: str, max_size: int, patience: float, statement_timeout: str) -> None:
        info = _conninfo(url, application, writes=False)
        limits = {**NO_TIME_LIMITS, "statement_timeout": statement_timeout}
        self._refusal = _Refusal(url)
        self._session_setup = _setup(info, limits, read_only=True)
        super().__init__(
            info,
            connection_class=AsyncConnection[DictRow],
            # Unnamed statements only: PostgreSQL plans each one with its values, so absent filters cost nothing.
            kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": None},
            configure=self._set_up_session,
            check=AsyncConnectionPool.check_connection,
            min_size=1,
            max_size=max_size,
            timeout=patience,
            reconnect_timeout=10.0,
            open=False,
            name=application,
        )

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[DictRow]:  # noqa: ASYNC109 - psycopg's
        """Return a session."""
        with self._refusal.explained():
            return await super().getconn(timeout)

    async def _set_up_session(self, session: AsyncConnection[DictRow]) -> None:
        with self._refusal.noted():
            await self._session_setup.apply_async(session)
        await session.set_autocommit(False)
        await session.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await session.set_read_only(True)


class _Refusal:
    """Why the last session of a pool cannot be used: the pool itself only reports that it has none."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._error: StoreUnavailableError | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note whether the session that is set up in this block is refused."""
        try:
            yield
        except SessionRefusedError as error:
            self._error = StoreUnavailableError(self._url, error)
            raise self._error from error
        self._error = None

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise the noted error instead of `PoolTimeout`."""
        try:
            yield
        except PoolTimeout as error:
            raise (self._error.with_traceback(None) if self._error else error) from None  # else each raise adds frames


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


def _setup(info: str, limits: Mapping[str, str], *, read_only: bool) -> SessionSetup:
    options = conninfo.conninfo_to_dict(info).get("options")
    return SessionSetup(info, settings_for(str(options or ""), limits, read_only=read_only))


def _conninfo(url: str, application: str, *, writes: bool) -> str:
    given = _parsed(url)
    changed: dict[str, Any] = {
        "application_name": application,
        "client_encoding": "UTF8",
        "connect_timeout": given.get("connect_timeout") or CONNECT_SECONDS,
        "keepalives_idle": given.get("keepalives_idle") or 10,
        "keepalives_interval": given.get("keepalives_interval") or 3,
        "keepalives_count": given.get("keepalives_count") or 3,
    }
    servers = str(given.get("host") or given.get("hostaddr") or "")
    says_which = given.get("target_session_attrs") or os.environ.get("PGTARGETSESSIONATTRS")
    if writes and "," in servers and not says_which:
        # Not `read-write`: libpq would take a default of the role for the state of the server.
        changed["target_session_attrs"] = "primary"
    return conninfo.make_conninfo(url, **changed)
