"""All roles run: duplicates, disorder, skewed clocks and bad records do not change the result."""

from __future__ import annotations

from typing import Any

import psycopg
from confluent_kafka import Consumer, TopicPartition

from tests.support.comparing import assert_store_matches_truth, differences, read_truths
from tests.support.whole_path import WholePath, wait_until

SIMULATED = ("--failures", "0.4", "--instances", "100", "--duplicates", "0.1", "--disorder", "0.1")


def test_store_equals_the_truth_despite_duplicates_disorder_and_bad_records(
    whole_path: WholePath, database_url: str, kafka: str
) -> None:
    whole_path.start("relay")
    whole_path.start("projector")
    truth = whole_path.folder / "truth.jsonl"
    output = whole_path.command("simulate", "--events", "4000", *SIMULATED, "--poison", "200", "--truth", str(truth))
    assert_store_matches_truth(database_url, read_truths(truth), logs=whole_path.logs())
    bad = int(output.split(" poison records sent")[0].split()[-1])
    assert bad >= 20
    wait_until(lambda: len(dead_letters(kafka, whole_path.prefix)) == bad, "every bad record in the dead letter topic")
    assert_store_matches_truth(database_url, read_truths(truth))
    with psycopg.connect(database_url) as connection:
        for wrong_truth in wrong_truths(read_truths(truth)):
            assert differences(connection, wrong_truth)


def test_store_equals_the_truth_with_two_projectors(whole_path: WholePath, database_url: str) -> None:
    truth = whole_path.folder / "truth.jsonl"
    for name in ("first", "second"):
        whole_path.start(name, "projector")
    whole_path.start("relay")
    whole_path.command("simulate", "--events", "4000", "--seed", "2", *SIMULATED, "--truth", str(truth))
    assert_store_matches_truth(database_url, read_truths(truth), logs=whole_path.logs())


def wrong_truths(truths: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return copies of the truth with one error each, which the comparison must report."""
    failed = next(one for one in truths if one["failures"])
    others = [one for one in truths if one is not failed]
    return [
        others,
        [*others, {**failed, "outcome": "SUCCEEDED"}],
        [*others, {**failed, "verdict": "NoValidHost" if failed["verdict"] is None else None}],
        [*others, {**failed, "failures": failed["failures"][1:]}],
        [*others, {**failed, "events": failed["events"] + 1}],
    ]


def dead_letters(kafka: str, prefix: str) -> list[bytes | None]:
    """Return all records of the dead-letter topic."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": f"{prefix}test", "enable.auto.commit": False})
    partition = TopicPartition(f"{prefix}instance-actions.dlq", 0, 0)
    try:
        _, end = consumer.get_watermark_offsets(partition, timeout=60)
        consumer.assign([partition])
        values: list[bytes | None] = []
        while len(values) < end:
            values += [message.value() for message in consumer.consume(end - len(values), 4) if message.error() is None]
        return values
    finally:
        consumer.close()
