"""A migrated store for each module, emptied before each test, and the API for it as a process of its own."""

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
from tests.support.subscribers import KEY


@pytest.fixture(scope="session")
def template_database(new_database: Callable[..., str]) -> str:
    """Name of the migrated database from which the others are copied."""
    url = new_database()
    migrate(url)
    return url.rpartition("/")[2]


@contextmanager
def running_api(url: str, *options: str, **environment: str) -> Iterator[str]:
    """Run `stumble api` on a store; yields its address."""
    command = [sys.executable, "-u", "-m", "stumble.cli", "api", "--port", "0", *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=cli_environment(STUMBLE_DATABASE_URL=url, **{"STUMBLE_SUBSCRIPTION_KEYS": KEY, **environment}),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://\S+?:\d+", line)
            assert address, line
            yield address[0]
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(60)
    assert status == 0, "SIGTERM is a clean end"


@pytest.fixture(scope="module")
def store_and_api(
    template_database: str, new_database: Callable[..., str], new_topic: Callable[..., str], kafka: str
) -> Iterator[tuple[Store, str]]:
    """A store and its API, shared by the tests of a module; the dead-letter topic is empty."""
    store = Store(new_database(template_database))
    prefix = f"api{uuid4().hex[:8]}."
    for topic in (Topics(prefix).actions, Topics(prefix).dlq):
        new_topic(topic, partitions=1)
    environment = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka, "STUMBLE_KAFKA__TOPIC_PREFIX": prefix}
    with running_api(store.url, **environment) as address:
        yield store, address
    store.connection.close()


@pytest.fixture
def store(store_and_api: tuple[Store, str]) -> Store:
    """The shared store, emptied."""
    store_and_api[0].empty()
    return store_and_api[0]


@pytest.fixture
def api(store_and_api: tuple[Store, str]) -> str:
    """Address of the shared API."""
    return store_and_api[1]


@pytest.fixture
def unused_port() -> Callable[[], int]:
    return free_port
