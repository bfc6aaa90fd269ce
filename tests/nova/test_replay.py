"""Real Nova's events of a whole run, in any order, some twice, in any batches: the end state is always the same.

`REPLAY_ROUNDS=200` (default 20) sets the number of rounds through the projector's transactions.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import fact_of
from stumble.settings.kafka import KafkaSettings
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from tests.nova import evidence, offline, replay
from tests.nova.subscriber import SentAndStored, assert_sent_equals_stored
from tests.support.projection import EventWriter, ProjectorTestbed, eventually

pytestmark = pytest.mark.xdist_group("nova with the one line")

ROUNDS = int(os.environ.get("REPLAY_ROUNDS", "20"))
LARGE_BATCH = 10_000
Events = list[dict[str, Any]]


@pytest.fixture
def events(scenario_results: Callable[..., Any], shared_folder: Path) -> Events:
    """Every event of the run with the one line in nova.conf."""
    scenario_results("default")
    return list(offline.events_of(shared_folder / "default" / "evidence" / "outbox"))


@pytest.fixture
def writer(database_url: str) -> Iterator[EventWriter]:
    migrate(database_url)
    writer_of_test = EventWriter(database_url)
    yield writer_of_test
    writer_of_test.close()


def test_derivation_is_the_same_for_200_random_orders(events: Events) -> None:
    known = defaultdict(list)
    for event in events:
        if event["instance_uuid"]:
            known[event["instance_uuid"]].append(fact_of(event))
    expected = {instance: derive_requests(instance, facts) for instance, facts in known.items()}
    chance = random.Random(7)
    for _ in range(200):
        for instance, facts in known.items():
            shuffled = facts + chance.choices(facts, k=1 + len(facts) // 10)
            chance.shuffle(shuffled)
            assert derive_requests(instance, shuffled) == expected[instance]


def test_projector_stores_the_same_for_every_order_and_batch_size(events: Events, writer: EventWriter) -> None:
    assert len(events) > 1000
    assert replay.replay(writer, events, ROUNDS) == []


def test_missing_event_is_reported_as_a_difference(events: Events, writer: EventWriter) -> None:
    complete = replay.project(writer, events, random.Random(1), limit=LARGE_BATCH)
    failing = next(number for number, event in enumerate(events) if event["failure"])
    without_failure = replay.project(
        writer, events[:failing] + events[failing + 1 :], random.Random(1), limit=LARGE_BATCH
    )
    differing = {line.partition(":")[0] for line in replay.differences(without_failure, complete)}
    assert {"events", "fact_sets"} <= differing


def test_shuffled_events_through_kafka_give_subscribers_the_stored_records(
    events: Events, writer: EventWriter, kafka: str, new_database: Callable[..., str]
) -> None:
    """The topics then contain many corrections; a subscriber with the highest revisions has the store's records."""
    expected = replay.project(writer, events, random.Random(1), limit=LARGE_BATCH)
    url = new_database()
    migrate(url)
    testbed = ProjectorTestbed(kafka, url)
    try:
        testbed.start("projector", STUMBLE_PROJECTOR_MAX_BATCH="40")
        testbed.start("alerter")
        testbed.produce(replay.shuffled_with_duplicates(events, random.Random(5)))
        eventually(testbed.lag, 90)
        with connect(url) as store:
            eventually(lambda: replay.differences(replay.state(store), expected), 90)
            topics = published(testbed, store)
            sent_and_stored = SentAndStored(topics, evidence.tables(store))
            assert_sent_equals_stored(sent_and_stored, lambda _row: True)
            [(corrections,)] = store.execute("select count(*) from publications where correction").fetchall()
            assert corrections > 50
    finally:
        testbed.stop()


def published(testbed: ProjectorTestbed, store: Any) -> dict[str, list[evidence.Record]]:
    """Return the records of both topics when they contain every revision of the store's publications."""
    settings: KafkaSettings = testbed.settings
    names = {"failure": settings.topics.failures, "outcome": settings.topics.outcomes}

    def missing() -> str:
        stored = dict(store.execute("select kind, count(*) from publications group by kind").fetchall())
        sent = {kind: evidence.size(settings, name) for kind, name in names.items()}
        return "" if all(sent[kind] >= count for kind, count in stored.items()) else f"{sent} of {stored} are published"

    eventually(missing, 90)
    return {name: list(evidence.records(settings, name)) for name in names.values()}
