"""The states of partitions that a projector saves for other programs."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from stumble.projector.health import ProjectorHealth
from stumble.projector.store_watch import StoreWatch
from stumble.store.connect import connect
from stumble.testing.clock import ManualClock

GONE = "Kafka at broker:9092 does not answer; reading is paused, nothing is lost."


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    return ProjectorHealth(stuck_after=60, now=clock.steady)


@pytest.fixture
def watch(store_url, health):
    watch = StoreWatch(partial(connect, store_url), "actions", health, logging.getLogger("test"))
    yield watch
    watch.close()


def saved(url: str) -> list[tuple[int, str]]:
    with connect(url) as session:
        return session.execute(
            "select kafka_partition, state from partition_states order by kafka_partition"
        ).fetchall()


def kafka_is_gone(health, clock) -> None:
    health.kafka_failed(GONE)
    clock.advance(9)


def test_partitions_that_are_lost_while_kafka_is_away_are_still_reported(store_url, health, watch, clock):
    health.partitions([0, 1], [])
    watch.run_once()
    assert saved(store_url) == [(0, "READING"), (1, "READING")]
    kafka_is_gone(health, clock)
    health.partitions([], [])
    watch.run_once()
    assert saved(store_url) == [(0, "KAFKA_UNAVAILABLE"), (1, "KAFKA_UNAVAILABLE")]


def test_partitions_that_another_projector_gets_are_not_reported(store_url, health, watch):
    health.partitions([0], [])
    watch.run_once()
    with connect(store_url) as session:
        session.execute("update partition_states set state = 'BAD_RECORDS'")
    health.partitions([], [])
    watch.run_once()
    assert saved(store_url) == [(0, "BAD_RECORDS")]


def test_projector_without_partitions_has_nothing_to_report(store_url, health, watch, clock):
    kafka_is_gone(health, clock)
    watch.run_once()
    assert saved(store_url) == []
