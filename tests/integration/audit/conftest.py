"""A topic and the store that a projector built from it; every test gets a copy of that store to spoil."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stumble.consumers.store.connect import connect
from stumble.consumers.store.migrate import migrate
from tests.integration.api.command import Ended, stumble
from tests.integration.projector.world import World, eventually, stream


@dataclass
class Store:
    """One store beside the topic, and the commands that look at both."""

    world: World
    url: str

    def run(self, *words: str) -> Ended:
        return stumble(*words, **self.environment())

    def environment(self) -> dict[str, str]:
        return {
            "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": self.world.kafka,
            "STUMBLE_KAFKA__TOPIC_PREFIX": self.world.prefix,
            "STUMBLE_DATABASE_URL": self.url,
        }

    def audit(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit status and document of `stumble audit --json`."""
        ended = self.run("audit", "--json", "--limit", "100000", "--wait", "30", *words)
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connect(self.url) as session:
            return session.execute(statement, parameters).fetchall()  # type: ignore[call-overload]

    def spoil(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Change the store behind its back; returns the rows that the statement returns."""
        with connect(self.url) as session:
            cursor = session.execute(statement, parameters)  # type: ignore[call-overload]
            assert cursor.rowcount > 0
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def built(kafka: str, new_database: Callable[..., str]) -> Iterator[World]:
    """A topic of 3,000 events and the store that a projector made of them; nothing runs any more."""
    url = new_database()
    migrate(url)
    world = World(kafka, url)
    try:
        events = [item.event for item in stream(3000, seed=21)]
        projector = world.start()
        world.produce(events)
        world.settle(events)
        projector.terminate()
        assert projector.wait(30) == 0
        yield world
    finally:
        world.stop()


@pytest.fixture
def store(built: World, new_database: Callable[..., str]) -> Store:
    """A copy of the built store."""
    return Store(built, new_database(built.url.rpartition("/")[2]))


__all__ = ["Store", "eventually"]
