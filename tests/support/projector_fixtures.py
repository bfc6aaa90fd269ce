"""A migrated store for each test, writers for it, and a testbed with Kafka and projectors as processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stumble.store.migrate import migrate
from tests.support.projection import EventWriter, ProjectorTestbed


@pytest.fixture(scope="session")
def template_database(new_database: Callable[..., str]) -> str:
    url = new_database()
    migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture
def store_url(template_database: str, new_database: Callable[..., str]) -> str:
    return new_database(template_database)


@pytest.fixture
def new_writer(store_url: str) -> Iterator[Callable[..., EventWriter]]:
    writers: list[EventWriter] = []

    def create(**options) -> EventWriter:
        writers.append(EventWriter(store_url, **options))
        return writers[-1]

    yield create
    for writer in writers:
        writer.close()


@pytest.fixture
def writer(new_writer: Callable[..., EventWriter]) -> EventWriter:
    return new_writer()


@pytest.fixture
def testbed(kafka: str, store_url: str) -> Iterator[ProjectorTestbed]:
    testbed_of_test = ProjectorTestbed(kafka, store_url)
    yield testbed_of_test
    testbed_of_test.stop()
