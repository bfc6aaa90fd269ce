"""Everything runs: duplicates, disorder, skewed clocks and bad records in between change nothing of the truth."""

from __future__ import annotations

from typing import Any

import psycopg
from confluent_kafka import Consumer, TopicPartition

from tests.support.comparing import assert_store_tells_truth, differences, truths
from tests.support.whole_path import WholePath, wait_until

SIMULATED = ("--failures", "0.4", "--instances", "100", "--duplicates", "0.1", "--disorder", "0.1")


def test_store_is_the_truth(path: WholePath, database_url: str, kafka: str) -> None:
    path.start("relay")
    path.start("projector")
    truth = path.folder / "truth.jsonl"
    told = path.command("simulate", "--events", "4000", *SIMULATED, "--poison", "200", "--truth", str(truth))
    assert_store_tells_truth(database_url, truths(truth), logs=path.logs())
    bad = int(told.split(" poison records sent")[0].split()[-1])
    assert bad >= 20
    wait_until(lambda: len(dead_letters(kafka, path.prefix)) == bad, "every bad record in the dead letter topic")
    assert_store_tells_truth(database_url, truths(truth))
    with psycopg.connect(database_url) as connection:
        for lie in lies(truths(truth)):
            assert differences(connection, lie)


def test_two_projectors_share_the_work(path: WholePath, database_url: str) -> None:
    truth = path.folder / "truth.jsonl"
    for name in ("first", "second"):
        path.start(name, "projector")
    path.start("relay")
    path.command("simulate", "--events", "4000", "--seed", "2", *SIMULATED, "--truth", str(truth))
    assert_store_tells_truth(database_url, truths(truth), logs=path.logs())


def lies(told: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The truth, made wrong in one place each: the comparison must see it."""
    failed = next(one for one in told if one["failures"])
    others = [one for one in told if one is not failed]
    return [
        others,
        [*others, {**failed, "outcome": "SUCCEEDED"}],
        [*others, {**failed, "verdict": "NoValidHost" if failed["verdict"] is None else None}],
        [*others, {**failed, "failures": failed["failures"][1:]}],
        [*others, {**failed, "events": failed["events"] + 1}],
    ]


def dead_letters(kafka: str, prefix: str) -> list[bytes | None]:
    """All that lies in the dead letter topic now."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": f"{prefix}look", "enable.auto.commit": False})
    place = TopicPartition(f"{prefix}instance-actions.dlq", 0, 0)
    try:
        _, end = consumer.get_watermark_offsets(place, timeout=60)
        consumer.assign([place])
        found: list[bytes | None] = []
        while len(found) < end:
            found += [message.value() for message in consumer.consume(end - len(found), 4) if message.error() is None]
        return found
    finally:
        consumer.close()
