"""kill -9 of any process under load: after recovery the store equals the truth."""

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
from tests.support.comparing import assert_store_matches_truth, read_truths
from tests.support.whole_path import WholePath, size, wait_until

MIX = ("--failures", "0.4", "--instances", "100", "--duplicates", "0.05", "--disorder", "0.05")
#: With a fixed start time a second run of the same seed writes the same bytes.
START = ("--start", "2026-11-20T08:00:00")


def test_store_equals_the_truth_after_kills_of_relay_and_projector(whole_path: WholePath, database_url: str) -> None:
    truth = whole_path.folder / "truth.jsonl"
    whole_path.start("relay")
    whole_path.start("projector")
    whole_path.start("simulate", "simulate", "--rate", "40", "--duration", "8", *MIX, "--truth", str(truth))
    wait_until(lambda: stored(database_url), "the first events in the store")
    for victim in ("projector", "relay", "projector", "relay"):
        whole_path.kill(victim)
        whole_path.start(victim)
        time.sleep(1.5)
    whole_path.finish("simulate")
    assert_store_matches_truth(database_url, read_truths(truth), logs=whole_path.logs())


def test_events_repeated_after_a_kill_of_the_service_count_once(whole_path: WholePath, database_url: str) -> None:
    """The accepted events reach the store; the second run repeats them, and nothing counts twice."""
    truth, repeated = whole_path.folder / "truth.jsonl", whole_path.folder / "again.jsonl"
    command = ("simulate", "--events", "6000", "--seed", "5", *START, *MIX, "--truth")
    whole_path.start("relay")
    whole_path.start("projector")
    whole_path.start("simulate", *command, str(truth))
    wait_until(lambda: size(whole_path.folder / "outbox") > 500_000, "a part of the events in the outbox")
    whole_path.kill("simulate")
    accepted = read_truths(truth)
    assert accepted
    whole_path.command(*command, str(repeated))
    truths = read_truths(repeated)
    assert {one["request_key"] for one in accepted} < {one["request_key"] for one in truths}
    assert_store_matches_truth(database_url, truths, logs=whole_path.logs())


def test_events_accepted_by_a_killed_service_are_stored(whole_path: WholePath, database_url: str) -> None:
    """The relay starts after the service was killed, and delivers its events."""
    truth = whole_path.folder / "truth.jsonl"
    whole_path.start("simulate", "simulate", "--events", "100000", "--seed", "6", *MIX, "--truth", str(truth))
    wait_until(lambda: size(whole_path.folder / "outbox") > 1_000_000, "a part of the events in the outbox")
    whole_path.kill("simulate")
    whole_path.start("projector")
    whole_path.start("relay")
    accepted = {one["request_key"]: one["outcome"] for one in read_truths(truth)}
    assert accepted

    def is_stored() -> bool:
        with psycopg.connect(database_url) as connection:
            rows = connection.execute("select request_key::text, outcome from stumble_derived.requests").fetchall()
        return accepted.items() <= dict(rows).items()

    wait_until(is_stored, f"{len(accepted)} requests with their outcome\n{whole_path.logs()}")


def test_suspended_projector_changes_nothing_after_its_partitions_were_reassigned(
    whole_path: WholePath, database_url: str
) -> None:
    """It is suspended until the group reassigns its partitions, then continues with its old batch."""
    truth = whole_path.folder / "truth.jsonl"
    whole_path.start("relay")
    whole_path.start("zombie", "projector")
    wait_until(
        lambda: "Reading partitions" in whole_path.logs(), "a projector that reads"
    )  # otherwise it might read all events in one batch
    whole_path.start("simulate", "simulate", "--rate", "40", "--duration", "16", *MIX, "--truth", str(truth))
    wait_until(lambda: stored(database_url), "the first events in the store")
    whole_path.signal("zombie", signal.SIGSTOP)
    before = stored(database_url)
    whole_path.start("replacement", "projector")
    wait_until(lambda: stored(database_url) > before + 200, "the other projector takes over")
    whole_path.signal("zombie", signal.SIGCONT)
    whole_path.finish("simulate")
    assert_store_matches_truth(database_url, read_truths(truth), logs=whole_path.logs())


@pytest.fixture
def own_servers_path(tmp_path: Path, own_kafka: LocalKafka, own_postgres: LocalPostgres) -> Iterator[WholePath]:
    """A path on servers of its own, which the test can kill."""
    whole_path = WholePath(tmp_path, own_kafka.bootstrap_servers, own_postgres.create_database("stumble"))
    try:
        whole_path.prepare()
        yield whole_path
    finally:
        whole_path.close()


def test_store_equals_the_truth_after_kills_of_broker_and_database(
    own_servers_path: WholePath, own_kafka: LocalKafka, own_postgres: LocalPostgres
) -> None:
    truth, url = own_servers_path.folder / "truth.jsonl", own_postgres.url("stumble")
    own_servers_path.start("relay")
    own_servers_path.start("projector")
    own_servers_path.start("simulate", "simulate", "--rate", "30", "--duration", "10", *MIX, "--truth", str(truth))
    wait_until(lambda: stored(url), "the first events in the store")
    for server in (own_kafka, own_postgres):
        pid = server.process.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        server.stop()  # only registers that it has ended
        server.start()
    own_servers_path.finish("simulate")
    assert_store_matches_truth(url, read_truths(truth), logs=own_servers_path.logs())


def stored(url: str) -> int:
    """Return the number of events in the store."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from stumble_derived.events").fetchone()
    assert row
    return int(row[0])
