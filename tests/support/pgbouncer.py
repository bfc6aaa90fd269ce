"""PgBouncer of Debian's package in front of a database, on a port of its own."""

from __future__ import annotations

import os
import pwd
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from stumble.local.ports import LOOPBACK, remembered_port
from stumble.local.process import ChildProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER = Path("/usr/sbin/pgbouncer")


@contextmanager
def pgbouncer(folder: Path, url: str, mode: str, **settings: str) -> Iterator[str]:
    """Run a pooler in the mode `session` or `transaction`; yields the URL of the database behind `url` through it."""
    if not _SERVER.exists():
        pytest.skip("PgBouncer isn't installed: apt-get install pgbouncer")
    folder.mkdir(parents=True, exist_ok=True)
    port, server = remembered_port(folder, f"pgbouncer {mode}"), urlsplit(url)
    user = "nobody" if os.geteuid() == 0 else None
    lines = {
        "listen_addr": LOOPBACK,
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        "default_pool_size": 50,
        **settings,
    }
    config = folder / f"{mode}.ini"
    database = f"host={LOOPBACK} port={server.port} user={server.username} password={server.password}"
    sections = ("[databases]", f"* = {database}", "[pgbouncer]", *(f"{name} = {item}" for name, item in lines.items()))
    config.write_text("\n".join(sections) + "\n")
    config.chmod(0o600)
    if user:
        os.chown(config, pwd.getpwnam(user).pw_uid, -1)
    process = ChildProcess("pgbouncer", folder)
    process.start([_SERVER, config], user=user)
    pooled = f"postgresql://{server.username}@{LOOPBACK}:{port}{server.path}"
    try:
        _wait(process, pooled)
        yield pooled
    finally:
        process.stop(signal.SIGINT, timeout=20)


def _wait(process: ChildProcess, url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        process.require_running()
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
