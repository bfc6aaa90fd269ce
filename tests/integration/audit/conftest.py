"""A topic and the store that a projector built from it; every test gets a copy of that store to spoil."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from stumble.store.connect import connect
from stumble.store.migrate import migrate
from stumble.testing.events import event
from tests.support.command import Ended, stumble
from tests.support.projection import World, stream
from tests.support.services import ROOT, cli_environment

_EVERYTHING = {
    "events": "select event_id, md5(body) from events order by 1",
    "fact_sets": """
        select instance_uuid, request_id, md5(facts), has_decisions, kafka_partition
        from fact_sets order by 1, 2
    """,  # `has_context` is a hint that stays: it depends on how the facts came in
    "requests": "select to_jsonb(r) - 'updated_at' - 'version' from requests r order by request_key",
    "failures": "select to_jsonb(f) - 'updated_at' from failures f order by failure_id",
    "counters": """
        select replace(metric, '_withdrawn', ''), labels,
               sum(case when metric like '%%_withdrawn' then -value else value end)
        from counters group by 1, 2
        having sum(case when metric like '%%_withdrawn' then -value else value end) <> 0
        order by 1, 2
    """,  # a count that came back to 0 has a row where batches were small, and none where one batch held it all
    "sightings": "select event_id, request_id, state, instance_uuid from sightings order by 1",
    # What was published and taken back again depends on how the events fell into batches.
    "revisions": "select subject_id, digest from revisions where status = 'CURRENT' order by 1",
}


HALF = 1500
#: Of whom the topic holds one record, which can't be read.
NOBODY = "88888888-8888-4888-8888-888888888888"


class Built(World):
    """A world that knows what it was told, and when the second half of that began."""

    events: list[Any]
    middle: datetime


@dataclass
class Store:
    """One store beside the topic, and the commands that look at both."""

    world: Built
    url: str

    def run(self, *words: str) -> Ended:
        return stumble(*words, **self.environment())

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Run a command as a process of its own."""
        command = [sys.executable, "-m", "stumble.cli", *words]
        silent = subprocess.DEVNULL
        environment = cli_environment(**self.environment())
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=silent, stderr=silent)

    def environment(self) -> dict[str, str]:
        return {
            "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": self.world.kafka,
            "STUMBLE_KAFKA__TOPIC_PREFIX": self.world.prefix,
            "STUMBLE_DATABASE_URL": self.url,
            "STUMBLE_PROJECTOR_GROUP": f"projector-of-{self.url.rpartition('/')[2]}",
        }

    def audit(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit status and document of `stumble audit --json`."""
        ended = self.run("audit", "--json", "--limit", "100000", "--wait", "30", *words)
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connect(self.url) as session:
            return session.execute(statement, parameters).fetchall()  # type: ignore[call-overload]

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is derived and counted, but for what only says when it was written."""
        return {name: self.rows(statement) for name, statement in _EVERYTHING.items()}

    def spoil(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Change the store behind its back; returns the rows that the statement returns."""
        with connect(self.url) as session:
            cursor = session.execute(statement, parameters)  # type: ignore[call-overload]
            assert cursor.rowcount > 0
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def built(kafka: str, new_database: Callable[..., str]) -> Iterator[Built]:
    """A topic of 3,000 events and the store that a projector made of them; nothing runs any more."""
    url = new_database()
    migrate(url)
    world = Built(kafka, url)
    try:
        # One request stays open: decisions are about such.
        events = world.events = [event(at=-600), *(item.event for item in stream(3000, seed=21))]
        projector = world.start()
        world.produce(events[:HALF])
        time.sleep(0.1)  # Kafka's time of a record has milliseconds
        world.middle = datetime.now(UTC)
        world.produce(events[HALF:])
        world.send(b"no event", NOBODY.encode())
        world.flush()
        world.settle(events)
        projector.terminate()
        assert projector.wait(60) == 0
        world.forget_producer()  # it would miss the broker at the end of the run
        yield world
    finally:
        world.stop()


@pytest.fixture
def store(built: Built, new_database: Callable[..., str]) -> Store:
    """A copy of the built store."""
    return Store(built, new_database(built.url.rpartition("/")[2]))
