"""Sessions that see one snapshot of the store, in this process and in others."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import IsolationLevel, sql

from stumble.audit.comparison import Horizon, SetComparison
from stumble.store.adapters import register_adapters
from stumble.store.connect import connect
from stumble.store.session import NO_TIME_LIMITS

if TYPE_CHECKING:
    from psycopg import Connection

    from stumble.audit.instance_chunks import InstanceRows
    from stumble.audit.offset_range import OffsetRange
    from stumble.audit.report import ChunkResult

#: PostgreSQL sorts with more memory, and samples a fifth of the usual rows of tables.
_SESSION = """
set work_mem = '64MB'; set temp_buffers = '32MB'; set synchronous_commit = off; set default_statistics_target = 20
"""


def open_session(url: str, application: str) -> Connection[Any]:
    """Open a session without time-outs, for work that takes long."""
    connection = connect(url, application=application, limits=NO_TIME_LIMITS)
    connection.execute(_SESSION)
    register_adapters(connection)
    return connection


@dataclass(slots=True, frozen=True)
class Snapshot:
    """A snapshot of the store that another session exported, and what of it is compared."""

    url: str
    name: str
    span: OffsetRange
    horizon: Horizon
    unjudged: frozenset[str]

    def compare(self, rows: InstanceRows) -> ChunkResult:
        """Compare some instances, in the session that the calling thread or process has in this snapshot."""
        session = getattr(_thread, "session", None)
        if session is None or session.snapshot != (self.url, self.name):
            session = _thread.session = _SnapshotSession(self.url, self.name)
        return SetComparison(session.connection, self.span, self.horizon, self.unjudged).compare(rows)


class _SnapshotSession:
    """One thread's session in a snapshot. It closes with the thread, or when the thread compares another snapshot."""

    def __init__(self, url: str, name: str) -> None:
        self.snapshot = url, name
        self.connection = open_session(url, "stumble-audit")
        self.connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        self.connection.set_autocommit(False)  # psycopg's signature: one transaction for all chunks
        self.connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(name)))

    def __del__(self) -> None:
        if connection := getattr(self, "connection", None):
            connection.close()


_thread = threading.local()
