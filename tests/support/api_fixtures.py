"""A migrated store for each test, and the API over it as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from stumble.local.ports import free_port
from stumble.store.migrate import migrate
from stumble.wire.topics import Topics
from tests.support.rows import Store
from tests.support.services import ROOT, cli_environment


@pytest.fixture(scope="session")
def migrated(new_database: Callable[..., str]) -> str:
    """Name of a database that others are copied from."""
    url = new_database()
    migrate(url)
    return url.rpartition("/")[2]


@contextmanager
def running_api(url: str, *options: str, **environment: str) -> Iterator[str]:
    """Address of `stumble api` over a store."""
    command = [sys.executable, "-u", "-m", "stumble.cli", "api", "--port", "0", *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=cli_environment(STUMBLE_DATABASE_URL=url, **environment),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+?:\d+", line)
            assert found, line
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(60)
    assert status == 0, "SIGTERM is a clean end"


@pytest.fixture(scope="module")
def served(
    migrated: str, new_database: Callable[..., str], new_topic: Callable[..., str], kafka: str
) -> Iterator[tuple[Store, str]]:
    """A store and the API over it, shared by the tests of a module; dead letters there are none."""
    store = Store(new_database(migrated))
    prefix = f"api{uuid4().hex[:8]}."
    for topic in (Topics(prefix).actions, Topics(prefix).dlq):
        new_topic(topic, partitions=1)
    environment = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka, "STUMBLE_KAFKA__TOPIC_PREFIX": prefix}
    with running_api(store.url, **environment) as address:
        yield store, address
    store.connection.close()


@pytest.fixture
def store(served: tuple[Store, str]) -> Store:
    """The shared store, emptied."""
    served[0].empty()
    return served[0]


@pytest.fixture
def api(served: tuple[Store, str]) -> str:
    """Address of the shared API."""
    return served[1]


@pytest.fixture
def unused_port() -> Callable[[], int]:
    return free_port
