"""A migrated store for each test; hands that write into it; a world with Kafka and projectors as processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from stumble.store.migrate import migrate
from tests.support.projection import Hand, World


@pytest.fixture(scope="session")
def migrated(new_database: Callable[..., str]) -> str:
    url = new_database()
    migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture
def store_url(migrated: str, new_database: Callable[..., str]) -> str:
    return new_database(migrated)


@pytest.fixture
def new_hand(store_url: str) -> Iterator[Callable[..., Hand]]:
    hands: list[Hand] = []

    def create(**options) -> Hand:
        hands.append(Hand(store_url, **options))
        return hands[-1]

    yield create
    for hand in hands:
        hand.close()


@pytest.fixture
def hand(new_hand: Callable[..., Hand]) -> Hand:
    return new_hand()


@pytest.fixture
def world(kafka: str, store_url: str) -> Iterator[World]:
    made = World(kafka, store_url)
    yield made
    made.stop()
