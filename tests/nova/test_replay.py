"""Real Nova's events of a whole run, in any order, some twice, in any batches: what follows is always the same.

`REPLAY_ROUNDS=200` (20 unless told) says how many rounds go through the projector's transactions.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stumble.outcome.derive import derive
from stumble.outcome.facts import fact_of
from stumble.provision.topics import KafkaSettings
from stumble.store.connect import connect
from stumble.store.migrate import migrate
from tests.nova import evidence, offline, replay
from tests.nova.subscriber import Kept, assert_equal
from tests.support.projection import Hand, World, eventually

pytestmark = pytest.mark.xdist_group("nova with the one line")

ROUNDS = int(os.environ.get("REPLAY_ROUNDS", "20"))
WHOLE = 10_000
Events = list[dict[str, Any]]


@pytest.fixture
def events(told: Callable[..., Any], shared_folder: Path) -> Events:
    """Every event of the run with the one line in nova.conf."""
    told("default")
    return list(offline.events_of(shared_folder / "default" / "evidence" / "outbox"))


@pytest.fixture
def hand(database_url: str) -> Iterator[Hand]:
    migrate(database_url)
    made = Hand(database_url)
    yield made
    made.close()


def test_derivation_two_hundred_times(events: Events) -> None:
    known = defaultdict(list)
    for event in events:
        if event["instance_uuid"]:
            known[event["instance_uuid"]].append(fact_of(event))
    right = {instance: derive(instance, facts) for instance, facts in known.items()}
    chance = random.Random(7)
    for _ in range(200):
        for instance, facts in known.items():
            mixed = facts + chance.choices(facts, k=1 + len(facts) // 10)
            chance.shuffle(mixed)
            assert derive(instance, mixed) == right[instance]


def test_projector_with_the_real_store(events: Events, hand: Hand) -> None:
    assert len(events) > 1000
    assert replay.replay(hand, events, ROUNDS) == []


def test_a_difference_would_be_noticed(events: Events, hand: Hand) -> None:
    whole = replay.project(hand, events, random.Random(1), limit=WHOLE)
    failing = next(number for number, event in enumerate(events) if event["failure"])
    lacking = replay.project(hand, events[:failing] + events[failing + 1 :], random.Random(1), limit=WHOLE)
    found = {line.partition(":")[0] for line in replay.differences(lacking, whole)}
    assert {"events", "fact_sets"} <= found


def test_through_kafka_with_what_subscribers_hold(
    events: Events, hand: Hand, kafka: str, new_database: Callable[..., str]
) -> None:
    """The topics then hold many corrections; whoever keeps the highest revision ends with the store's record."""
    right = replay.project(hand, events, random.Random(1), limit=WHOLE)
    url = new_database()
    migrate(url)
    world = World(kafka, url)
    try:
        world.start("projector", STUMBLE_PROJECTOR_MAX_BATCH="40")
        world.start("alerter")
        world.produce(replay.disturbed(events, random.Random(5)))
        eventually(world.behind, 90)
        with connect(url) as store:
            eventually(lambda: replay.differences(replay.state(store), right), 90)
            topics = published(world, store)
            kept = Kept(topics, evidence.tables(store))
            assert_equal(kept, lambda _row: True)
            [(corrections,)] = store.execute("select count(*) from publications where revision > 1").fetchall()
            assert corrections > 50
    finally:
        world.stop()


def published(world: World, store: Any) -> dict[str, list[evidence.Record]]:
    """Return the records of both topics once they hold every revision that the store has laid down."""
    settings: KafkaSettings = world.settings
    names = {"failure": settings.topics.failures, "outcome": settings.topics.outcomes}

    def missing() -> str:
        laid = dict(store.execute("select kind, count(*) from publications group by kind").fetchall())
        sent = {kind: evidence.size(settings, name) for kind, name in names.items()}
        return "" if all(sent[kind] >= count for kind, count in laid.items()) else f"{sent} of {laid} are published"

    eventually(missing, 90)
    return {name: list(evidence.records(settings, name)) for name in names.values()}
