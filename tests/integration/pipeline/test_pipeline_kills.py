"""kill -9 of any process under load: after recovery the store says what really happened, exactly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stumble.local.kafka import LocalKafka
from stumble.local.postgres import LocalPostgres
from tests.support.comparing import assert_store_tells_truth, truths
from tests.support.whole_path import WholePath, size, wait_until

MIX = ("--failures", "0.4", "--instances", "100", "--duplicates", "0.05", "--disorder", "0.05")
#: A fixed beginning makes a second run of the same seed write the same bytes.
START = ("--start", "2026-11-20T08:00:00")


def test_relay_and_projector_are_killed_again_and_again(path: WholePath, database_url: str) -> None:
    truth = path.folder / "truth.jsonl"
    path.start("relay")
    path.start("projector")
    path.start("simulate", "simulate", "--rate", "40", "--duration", "8", *MIX, "--truth", str(truth))
    wait_until(lambda: stored(database_url), "the first events in the store")
    for victim in ("projector", "relay", "projector", "relay"):
        path.kill(victim)
        path.start(victim)
        time.sleep(1.5)
    path.finish("simulate")
    assert_store_tells_truth(database_url, truths(truth), logs=path.logs())


def test_simulated_service_is_killed_and_repeats_itself(path: WholePath, database_url: str) -> None:
    """What it had accepted reaches the store; the second run brings it again, and nothing counts twice."""
    truth, again = path.folder / "truth.jsonl", path.folder / "again.jsonl"
    command = ("simulate", "--events", "6000", "--seed", "5", *START, *MIX, "--truth")
    path.start("relay")
    path.start("projector")
    path.start("simulate", *command, str(truth))
    wait_until(lambda: size(path.folder / "outbox") > 500_000, "a part of the events in the outbox")
    path.kill("simulate")
    accepted = truths(truth)
    assert accepted
    path.command(*command, str(again))
    told = truths(again)
    assert {one["request_key"] for one in accepted} < {one["request_key"] for one in told}
    assert_store_tells_truth(database_url, told, logs=path.logs())


def test_what_a_killed_service_had_accepted_is_stored(path: WholePath, database_url: str) -> None:
    """The relay starts after the service is gone, and delivers what it left."""
    truth = path.folder / "truth.jsonl"
    path.start("simulate", "simulate", "--events", "100000", "--seed", "6", *MIX, "--truth", str(truth))
    wait_until(lambda: size(path.folder / "outbox") > 1_000_000, "a part of the events in the outbox")
    path.kill("simulate")
    path.start("projector")
    path.start("relay")
    accepted = {one["request_key"]: one["outcome"] for one in truths(truth)}
    assert accepted

    def known() -> bool:
        with psycopg.connect(database_url) as connection:
            rows = connection.execute("select request_key::text, outcome from stumble_derived.requests").fetchall()
        return accepted.items() <= dict(rows).items()

    wait_until(known, f"{len(accepted)} requests with their outcome\n{path.logs()}")


def test_a_projector_that_comes_back_from_the_dead_changes_nothing(path: WholePath, database_url: str) -> None:
    """It stands still until the group gives its partitions away, then goes on with what it had in hand."""
    truth = path.folder / "truth.jsonl"
    path.start("relay")
    path.start("zombie", "projector")
    wait_until(lambda: "Reading partitions" in path.logs(), "a projector that reads")  # else it might find all at once
    path.start("simulate", "simulate", "--rate", "40", "--duration", "16", *MIX, "--truth", str(truth))
    wait_until(lambda: stored(database_url), "the first events in the store")
    path.signal("zombie", signal.SIGSTOP)
    before = stored(database_url)
    path.start("heir", "projector")
    wait_until(lambda: stored(database_url) > before + 200, "the other projector takes over")
    path.signal("zombie", signal.SIGCONT)
    path.finish("simulate")
    assert_store_tells_truth(database_url, truths(truth), logs=path.logs())


@pytest.fixture
def lonely(tmp_path: Path, own_kafka: LocalKafka, own_postgres: LocalPostgres) -> Iterator[WholePath]:
    """A path over servers that nobody else uses, to be killed."""
    whole = WholePath(tmp_path, own_kafka.bootstrap_servers, own_postgres.create_database("stumble"))
    try:
        whole.prepare()
        yield whole
    finally:
        whole.close()


def test_broker_and_database_are_killed(lonely: WholePath, own_kafka: LocalKafka, own_postgres: LocalPostgres) -> None:
    truth, url = lonely.folder / "truth.jsonl", own_postgres.url("stumble")
    lonely.start("relay")
    lonely.start("projector")
    lonely.start("simulate", "simulate", "--rate", "30", "--duration", "10", *MIX, "--truth", str(truth))
    wait_until(lambda: stored(url), "the first events in the store")
    for server in (own_kafka, own_postgres):
        pid = server.process.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        server.stop()  # only takes note that it's gone
        server.start()
    lonely.finish("simulate")
    assert_store_tells_truth(url, truths(truth), logs=lonely.logs())


def stored(url: str) -> int:
    """How many events are in the store."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from stumble_derived.events").fetchone()
    assert row
    return int(row[0])
