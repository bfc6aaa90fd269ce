"""Kafka and PostgreSQL for a benchmark: those of the local stack, with fsync, in a folder that is removed later."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stumble.local.kafka import LocalKafka
from stumble.local.postgres import LocalPostgres

PARTITIONS = 12
#: The local stack starts a group with its first member, for a quick start. With Kafka's default the broker waits for
#: others: members that start together share the partitions from the first record, where the measurement begins.
_AS_SHIPPED = {"group.initial.rebalance.delay.ms": "3000"}


@dataclass(slots=True)
class Stack:
    """The running servers."""

    kafka: LocalKafka
    postgres: LocalPostgres

    def database(self) -> str:
        """Make an empty database and return its URL; a checkpoint first, so that no run does the writes of another."""
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            connection.execute("checkpoint")
        return self.postgres.create_database(f"bench_{uuid.uuid4().hex[:8]}")

    def drop(self, url: str) -> None:
        """Drop a database, so that the disk doesn't fill up."""
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            connection.execute(f'drop database if exists "{url.rpartition("/")[2]}" with (force)')

    def settle(self, url: str) -> None:
        """Run vacuum, analyze and checkpoint, as in a store that is not new."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")

    def postgres_cpu(self) -> float:
        """Return the CPU seconds that the server and all its sessions have used so far."""
        server = Path(f"/proc/{self.postgres.process.pid}")
        living = (server / f"task/{server.name}/children").read_text().split()
        ticks = sum(_ticks(Path(f"/proc/{pid}"), 2) for pid in living) + _ticks(server, 4)
        return ticks / os.sysconf("SC_CLK_TCK")

    def topic(self, name: str, partitions: int = PARTITIONS) -> str:
        """Create a topic and return its name."""
        client = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        for future in client.create_topics([NewTopic(name, partitions, 1)]).values():
            future.result(30)
        return name


def _ticks(process: Path, fields: int) -> int:
    """Return user and system time of a process, with four fields also of its ended children; 0 if it has ended."""
    try:
        found = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, found[11 : 11 + fields]))


@contextmanager
def stack(state: Path) -> Iterator[Stack]:
    """Start both servers; stop them and remove their folder at the end, also after an error."""
    folder = state / f"stack-{uuid.uuid4().hex[:8]}"
    kafka = LocalKafka(folder, heap="768m", settings=_AS_SHIPPED)
    postgres = LocalPostgres(folder, fsync=True, options={"shared_buffers": "256MB", "max_wal_size": "4GB"})
    try:
        kafka.start()
        postgres.start()
        yield Stack(kafka, postgres)
    finally:
        kafka.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)
