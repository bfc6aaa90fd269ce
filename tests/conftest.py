"""Fixtures for all tests: a real Kafka, a real PostgreSQL, new topics and databases.

`kafka`         bootstrap address of the run's one broker (topics are not auto-created)
`new_topic`     creates a topic with a new name: ``new_topic(partitions=4)``
`database_url`  URL of a fresh, empty database, dropped after the test
`new_database`  creates more of them: ``new_database(template=None)``
`own_kafka`, `own_postgres`  a started LocalKafka / LocalPostgres for this test alone, to stop and kill
"""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from typing import TYPE_CHECKING

import hypothesis
import psycopg
import pytest
from psycopg import sql

from stumble.local import ports
from stumble.local.kafka import LocalKafka
from stumble.local.postgres import LocalPostgres
from tests.support import services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# The time of an example depends on the load of the machine, not on the code. Each run tries the same examples, so
# that it fails only because of a change; `--hypothesis-profile=search` tries others.
for _name in ("same", "search"):
    hypothesis.settings.register_profile(
        _name, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize=_name == "same"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Remove the caller's settings of an installation from the environment of the tests."""
    for name in [name for name in os.environ if name.startswith("STUMBLE_") and name != "STUMBLE_CACHE_DIR"]:
        del os.environ[name]
    # A shell starts background jobs with SIGINT ignored, and children inherit this: tests that send it would hang.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption("--hypothesis-profile"):
        hypothesis.settings.load_profile("same")
    ports.free_port = _reserved_port


_PORTS: list[socket.socket] = []


def _reserved_port() -> int:
    """Return a free port that no other process gets during this run, even while its server is stopped.

    The port is bound but not listened on: a server that sets SO_REUSEADDR, as all do, can bind it, too; the kernel
    doesn't give it to a process that asks for any free port.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind((ports.LOOPBACK, 0))
    _PORTS.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Send each group to one worker: pytest 9.2 no longer reads the item ids that xdist 3.8 writes."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group and not item.nodeid.endswith(f"@{group.args[0]}") and hasattr(item, "_id"):
            item._id = type(item._id).parse(f"{item.nodeid}@{group.args[0]}")  # noqa: SLF001


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the run's servers, in the process that started the run (not in a worker), whatever the tests' result.

    Not later: after pytest has finished the session, another run of the same user may remove the folder.
    """
    config = session.config
    factory = getattr(config, "_tmp_path_factory", None)
    if factory is not None and not hasattr(config, "workerinput") and factory._basetemp is not None:  # noqa: SLF001
        services.stop_all(factory.getbasetemp() / "services")
    while _PORTS:
        _PORTS.pop().close()


@pytest.fixture(scope="session")
def _service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    is_worker = hasattr(request.config, "workerinput")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if is_worker else base) / "services"
    return lambda kind: services.address_of(kind, folder, os.getppid() if is_worker else os.getpid())


@pytest.fixture(scope="session")
def kafka(_service: Callable[[str], str]) -> str:
    """Bootstrap address of the broker that all tests of the run share."""
    return _service("kafka")


@pytest.fixture(scope="session")
def new_topic(kafka: str) -> Callable[..., str]:
    """Return a function that creates a topic: ``new_topic(name=None, partitions=4, **settings) -> name``."""
    from confluent_kafka.admin import AdminClient, NewTopic

    client = AdminClient({"bootstrap.servers": kafka})

    def create(name: str | None = None, partitions: int = 4, **settings: str) -> str:
        name = name or f"t-{uuid.uuid4().hex[:12]}"
        client.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result(30)
        # The broker learns of it a little later than the controller; until then it reports no partitions.
        deadline = time.monotonic() + 60
        while len(client.list_topics(name, 10).topics[name].partitions) != partitions:
            assert time.monotonic() < deadline, f"the broker does not know {name}"
            time.sleep(0.01)
        return name

    return create


@pytest.fixture(scope="session")
def _postgres_url(_service: Callable[[str], str]) -> str:
    return _service("postgres")


@pytest.fixture(scope="session")
def new_database(_postgres_url: str) -> Iterator[Callable[..., str]]:
    """Return a function that creates a database and returns its URL: ``new_database(template="template0")``."""
    created: list[str] = []

    def create(template: str = "template0") -> str:
        name = f"d{uuid.uuid4().hex[:12]}"
        with psycopg.connect(_postgres_url, autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        created.append(name)
        return _postgres_url.rpartition("/")[0] + "/" + name

    yield create
    for name in created:
        _drop(_postgres_url, name)


@pytest.fixture
def database_url(_postgres_url: str, new_database: Callable[..., str]) -> Iterator[str]:
    """URL of an empty database for this test alone; it's dropped after the test."""
    url = new_database()
    yield url
    _drop(_postgres_url, url.rpartition("/")[2])


def _drop(postgres_url: str, name: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A started broker for this test alone."""
    server = LocalKafka(tmp_path / "kafka", heap="256m", quick=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[LocalPostgres]:
    """A started PostgreSQL for this test alone, with fsync as in production."""
    server = LocalPostgres(tmp_path / "postgres")
    try:
        server.start()
        yield server
    finally:
        server.stop()
