"""A topic and the store that a projector built from it; each test gets a copy of the store that it may corrupt."""

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
from tests.support.command import CommandResult, stumble
from tests.support.projection import ProjectorTestbed, stream
from tests.support.services import ROOT, cli_environment

_EVERYTHING = {
    "events": "select event_id, md5(body) from events order by 1",
    "fact_sets": """
        select instance_uuid, request_id, md5(facts), has_decisions, kafka_partition
        from fact_sets order by 1, 2
    """,  # `has_context` is never reset, so it depends on the order of the facts
    "requests": "select to_jsonb(r) - 'updated_at' - 'version' from requests r order by request_key",
    "failures": "select to_jsonb(f) - 'updated_at' from failures f order by failure_id",
    "counters": """
        select replace(metric, '_withdrawn', ''), labels,
               sum(case when metric like '%%_withdrawn' then -value else value end)
        from counters group by 1, 2
        having sum(case when metric like '%%_withdrawn' then -value else value end) <> 0
        order by 1, 2
    """,  # a count that returned to 0 has a row only if several batches changed it
    "sightings": "select event_id, request_id, state, instance_uuid from sightings order by 1",
    # Which records were published and retracted depends on the batches.
    "revisions": "select subject_id, digest from revisions where status = 'CURRENT' order by 1",
}


HALF = 1500
#: The topic has one record of this instance, which can't be read.
UNREADABLE_INSTANCE = "88888888-8888-4888-8888-888888888888"


class BuiltTestbed(ProjectorTestbed):
    """A testbed with its events and the time between their first and second half."""

    events: list[Any]
    middle: datetime


@dataclass
class Store:
    """A store of the topic, and the commands that compare both."""

    testbed: ProjectorTestbed
    url: str

    def run(self, *words: str) -> CommandResult:
        return stumble(*words, **self.environment())

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Run a command as a process of its own."""
        command = [sys.executable, "-m", "stumble.cli", *words]
        no_output = subprocess.DEVNULL
        environment = cli_environment(**self.environment())
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=no_output, stderr=no_output)

    def environment(self) -> dict[str, str]:
        return {
            "STUMBLE_KAFKA__BOOTSTRAP_SERVERS": self.testbed.kafka,
            "STUMBLE_KAFKA__TOPIC_PREFIX": self.testbed.prefix,
            "STUMBLE_DATABASE_URL": self.url,
            "STUMBLE_PROJECTOR_GROUP": f"projector-of-{self.url.rpartition('/')[2]}",
        }

    def audit(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Return exit status and document of `stumble audit --json`."""
        ended = self.run("audit", "--json", "--limit", "100000", "--wait", "30", *words)
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connect(self.url) as session:
            return session.execute(statement, parameters).fetchall()

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all derived and counted data, without the times of writing."""
        return {name: self.rows(statement) for name, statement in _EVERYTHING.items()}

    def corrupt(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Change rows directly; returns the rows that the statement returns."""
        with connect(self.url) as session:
            cursor = session.execute(statement, parameters)
            assert cursor.rowcount > 0
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def built(kafka: str, new_database: Callable[..., str]) -> Iterator[BuiltTestbed]:
    """A topic of 3,000 events and the store that a projector built from them; the projector has ended."""
    url = new_database()
    migrate(url)
    testbed = BuiltTestbed(kafka, url)
    try:
        # One request stays open, because decisions are about open requests.
        events = testbed.events = [event(at=-600), *(item.event for item in stream(3000, seed=21))]
        projector = testbed.start()
        testbed.produce(events[:HALF])
        time.sleep(0.1)  # Kafka's timestamps have a resolution of milliseconds
        testbed.middle = datetime.now(UTC)
        testbed.produce(events[HALF:])
        testbed.send(b"no event", UNREADABLE_INSTANCE.encode())
        testbed.flush()
        testbed.wait_until_stored(events)
        projector.terminate()
        assert projector.wait(60) == 0
        testbed.forget_producer()  # it would log errors when the broker stops at the end of the run
        yield testbed
    finally:
        testbed.stop()


@pytest.fixture
def store(built: BuiltTestbed, new_database: Callable[..., str]) -> Store:
    """A copy of the built store."""
    return Store(built, new_database(built.url.rpartition("/")[2]))
