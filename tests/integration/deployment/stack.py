"""Runs the services of shipped files on this machine, as their containers do, with local addresses."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from stumble.local.kafka import LocalKafka
from stumble.local.ports import LOOPBACK, free_port, remembered_port
from stumble.local.postgres import LocalPostgres
from stumble.local.process import ChildProcess, read_log_tail
from stumble.local.registry import LocalRegistry
from tests.support.services import cli_environment

CLI = [sys.executable, "-m", "stumble.cli"]


class LocalAddresses:
    """Replaces addresses and paths of shipped files by those of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._local: dict[str, str] = {}

    def add(self, shipped: str, local: str) -> None:
        self._local[shipped] = local

    def localize(self, shipped: str) -> str:
        """Return a text of a shipped file with local addresses; longer names are replaced first."""
        pattern = "|".join(re.escape(name) for name in sorted(self._local, key=len, reverse=True))
        return re.sub(pattern, lambda match: self._local[match[0]], shipped)


def broker(folder: Path, environment: dict[str, str]) -> LocalKafka:
    """Launch a broker with the settings that the image derives from its environment: KAFKA_NODE_ID is node.id."""
    port, controller = (remembered_port(folder, name) for name in ("kafka", "kafka controller"))
    settings = {}
    for name, value in environment.items():
        assert name.startswith("KAFKA_"), name
        settings[name.removeprefix("KAFKA_").lower().replace("_", ".")] = value
    for name in ("listeners", "advertised.listeners", "controller.quorum.voters"):
        value = settings[name].replace("://:", f"://{LOOPBACK}:").replace("kafka:", f"{LOOPBACK}:")
        settings[name] = value.replace(":9092", f":{port}").replace(":9093", f":{controller}")
    settings["log.dirs"] = str(folder / "kafka")
    server = LocalKafka(folder, heap="256m", quick=True, settings=settings)
    server.launch()
    return server


def database(folder: Path, environment: dict[str, str]) -> tuple[LocalPostgres, str]:
    """Start PostgreSQL as its image does, with a role that owns a database."""
    server = LocalPostgres(folder, fsync=False)
    server.start()
    user, name = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"create role {user} login password '{environment['POSTGRES_PASSWORD']}'")
        connection.execute(f"create database {name} owner {user}")
    return server, server.url().rpartition("@")[2].partition("/")[0]


def registry(folder: Path) -> LocalRegistry:
    server = LocalRegistry(folder)
    server.start()
    return server


class Service:
    """One long-running command; after SIGTERM it must end with status 0."""

    def __init__(self, name: str, folder: Path, argv: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self.process = ChildProcess(name, folder, death_signal=signal.SIGTERM)
        self._argv, self._environment = argv, environment

    def start(self) -> None:
        self.process.start(self._argv, env=cli_environment(**self._environment))

    def healthy(self, test: list[str], *, seconds: float = 90) -> None:
        """Run a health check's command until it succeeds."""
        deadline = time.monotonic() + seconds
        while True:
            self.process.require_running()
            done = subprocess.run(test, capture_output=True, text=True, check=False, timeout=30)
            if done.returncode == 0:
                return
            message = f"{shlex.join(test)}: {done.stderr[-500:]}\n{read_log_tail(self.process.log, 20)}"
            assert time.monotonic() < deadline, message
            time.sleep(0.5)

    def stop(self) -> int | None:
        self.process.stop(signal.SIGTERM, timeout=40)
        return self.process.exit_status


def ports_of(*names: str) -> dict[str, str]:
    """Return a port for each service; containers have addresses of their own instead."""
    return {name: str(free_port()) for name in names}


def once(argv: list[str], environment: dict[str, str]) -> str:
    """Run a command, which must succeed; returns its output."""
    done = subprocess.run(
        argv, env=cli_environment(**environment), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
