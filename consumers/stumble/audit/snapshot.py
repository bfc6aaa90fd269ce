"""Sessions that look at one snapshot of the store, in this process and in others."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import IsolationLevel, sql

from stumble.audit.comparison import Horizon, SetComparison
from stumble.audit.parallel_map import ParallelMap, here
from stumble.store.adapters import register
from stumble.store.connect import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection

    from stumble.audit.instance_chunks import InstanceRows
    from stumble.audit.offset_range import OffsetRange
    from stumble.audit.report import ChunkResult
    from stumble.audit.worker_main import Pipe
    from stumble.audit.worker_pool import WorkerProcess

#: What keeps a long audit from being cut off, and PostgreSQL from sorting in small portions; a look at a fifth of the
#: rows that it takes by default tells it enough of tables that are new.
_SESSION = """
set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = 0;
set work_mem = '64MB'; set temp_buffers = '32MB'; set synchronous_commit = off; set default_statistics_target = 20
"""


def open_session(url: str, application: str) -> Connection[Any]:
    """Open a session for work that takes as long as it takes."""
    connection = connect(url, application=application)
    connection.execute(_SESSION)
    register(connection)
    return connection


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The job of judging chunks, as they come, by a snapshot that another session exported; None is the last."""

    url: str
    snapshot: str
    span: OffsetRange
    horizon: Horizon

    def work(self, pipe: Pipe) -> None:
        """Judge what the parent sends."""
        with self._judge() as judge:
            while (told := pipe.recv()) is not None:
                pipe.send(judge.judge(told))

    @contextmanager
    def lanes(self, helpers: Sequence[WorkerProcess]) -> Iterator[ParallelMap[InstanceRows, ChunkResult]]:
        """Open lanes that judge, here and in helpers."""
        with ExitStack() as sessions:
            own = [sessions.enter_context(self._judge()).judge for _ in range(here(helpers))]
            with ParallelMap(own, helpers, self, _ask) as lanes:
                yield lanes

    @contextmanager
    def _judge(self) -> Iterator[SetComparison]:
        connection = open_session(self.url, "stumble-audit")
        connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        try:
            with connection.transaction():
                connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(self.snapshot)))
                yield SetComparison(connection, self.span, self.horizon)
        finally:
            connection.close()


def _ask(helper: WorkerProcess, told: InstanceRows) -> ChunkResult:
    helper.tell(told)
    verdict: ChunkResult = helper.hear()
    return verdict
