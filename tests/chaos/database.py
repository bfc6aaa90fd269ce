"""The database of a run. It is restored to an earlier point, or a standby that lacks the last commits takes over."""

from __future__ import annotations

import itertools
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from stumble.local.postgres import LocalPostgres
from tests.chaos.processes import signal_all, with_children
from tests.support.database_backup import dump, new_standby, promote, restore, stop_replication

NAME = "stumble"
#: Seconds that a transaction may take: one that began so long before the loss may have committed within it.
_TRANSACTION_SECONDS = 20.0


@dataclass(frozen=True)
class Loss:
    """The store has lost what was committed between these two times (Unix, seconds)."""

    begin: float
    end: float

    def has_committed(self, at: float) -> bool:
        """Return whether something that happened at this time, before its commit, was certainly lost."""
        return self.begin <= at <= self.end

    def has_begun(self, at: float) -> bool:
        """Return whether a transaction that began at this time may be lost."""
        return self.begin - _TRANSACTION_SECONDS <= at <= self.end


@dataclass(frozen=True)
class Copy:
    """A copy of the store, which has all that was committed up to ``at`` (Unix, seconds) and nothing later."""

    at: float
    #: The file of the backup, or the folder of the standby.
    path: Path
    standby: LocalPostgres | None = None


class RunDatabase:
    """The server that holds the store now; ``losses`` lists what earlier servers had and it has not."""

    def __init__(self, folder: Path) -> None:
        self._first_folder = self._folder = folder
        self._numbers = itertools.count(2)
        self.server = LocalPostgres(folder, fsync=False)  # processes are killed, but the page cache stays
        self._standbys: list[LocalPostgres] = []
        self.losses: list[Loss] = []
        #: Deadlocks on the servers that were replaced.
        self.deadlocks_before = 0

    @property
    def url(self) -> str:
        return self.server.url(NAME)

    @property
    def port(self) -> int:
        return int(self.url.rpartition("/")[0].rpartition(":")[2])

    def start(self) -> None:
        self.server.start()
        self.server.create_database(NAME)

    def stop(self) -> None:
        """Stop the server, and a standby that did not take over."""
        for server in (self.server, *self._standbys):
            server.stop()

    def deadlocks(self) -> int:
        """Return how many deadlocks there were in the whole run."""
        with psycopg.connect(self.url) as connection:
            query = "select deadlocks from pg_stat_database where datname = current_database()"
            return self.deadlocks_before + int(connection.execute(query).fetchall()[0][0])

    def back_up(self) -> Copy:
        """Back the store up while it is in use."""
        file = self._first_folder / f"backup-{time.monotonic_ns()}"
        with psycopg.connect(self.url) as connection:
            connection.execute("set transaction isolation level repeatable read")
            ((snapshot,),) = connection.execute("select pg_export_snapshot()").fetchall()
            at = time.time()
            dump(self.url, file, "--snapshot", snapshot)
        return Copy(at, file)

    def start_standby(self) -> Copy:
        """Start a standby that soon receives no more commits."""
        folder = self._new_folder()
        standby = new_standby(self.server, self._folder, folder)
        self._standbys.append(standby)
        last = "select extract(epoch from pg_last_xact_replay_timestamp())::float8"
        with psycopg.connect(self.server.url(), autocommit=True) as primary:
            primary.execute("create table last_commit_of_standby ()")
            primary.execute("drop table last_commit_of_standby")
        with psycopg.connect(standby.url(), autocommit=True) as connection:
            deadline = time.monotonic() + 30
            while connection.execute(last).fetchall() == [(None,)]:
                assert time.monotonic() < deadline, "the standby receives nothing"
                time.sleep(0.05)
            stop_replication(standby)
            ((at,),) = connection.execute(last).fetchall()
        return Copy(at, folder, standby)

    def replace_by(self, copy: Copy) -> None:
        """End the server as if its machine had died; continue with a copy, on another port."""
        self.deadlocks_before = self.deadlocks()
        password = self._folder / "postgres.password"
        if (pid := self.server.process.pid) is not None:
            signal_all(with_children(pid), signal.SIGKILL)
        self.server.stop()
        self.losses.append(Loss(copy.at, time.time()))
        if copy.standby is not None:
            promote(copy.standby)
            self.server, self._folder = copy.standby, copy.path
            return
        self._folder = self._new_folder()
        self.server = LocalPostgres(self._folder, fsync=False)
        self.server.start()
        with psycopg.connect(self.server.url(), autocommit=True) as connection:  # the roles have the old password
            connection.execute(sql.SQL("alter role postgres password {}").format(sql.Literal(password.read_text())))
        (self._folder / password.name).write_text(password.read_text())
        restore(copy.path, self.url)

    def _new_folder(self) -> Path:
        return self._first_folder / f"database-{next(self._numbers)}"
