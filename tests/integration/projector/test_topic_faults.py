"""Topics whose offsets are not all records that can be read: transactions, damaged batches, truncated logs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from stumble.store.connect import connect
from stumble.testing.events import event, framed
from tests.support.command import stumble
from tests.support.projection import ProjectorTestbed, eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from stumble.local.kafka import LocalKafka

pytestmark = pytest.mark.timeout(600)
PARTITION = 1


@pytest.fixture
def own_testbed(own_kafka: LocalKafka, store_url: str) -> Iterator[ProjectorTestbed]:
    """A testbed with a broker whose files the test may change."""
    testbed_of_test = ProjectorTestbed(own_kafka.bootstrap_servers, store_url)
    yield testbed_of_test
    testbed_of_test.stop()


@pytest.fixture
def log_file(own_testbed: ProjectorTestbed, tmp_path: Path) -> Path:
    """The broker's file with the batches of the partition."""
    return tmp_path / "kafka" / "kafka" / f"{own_testbed.topic}-{PARTITION}" / "00000000000000000000.log"


def transactional_producer(testbed: ProjectorTestbed) -> Producer:
    # Kafka's default, one minute, is the time after which an open transaction is named.
    config = testbed.settings.producer_config(
        transactional_id=f"{testbed.prefix}mirror", transaction_timeout_ms=300_000
    )
    result = Producer(config)
    result.init_transactions(60)
    return result


def produce_batches(testbed: ProjectorTestbed, count: int) -> None:
    """Produce one batch per event to the partition."""
    for _ in range(count):
        testbed.send(framed(event()), partition=PARTITION)
        testbed.flush()


def shown_partition(testbed: ProjectorTestbed) -> dict:
    done = stumble("offsets", "show", "--format", "json", **testbed.environment())
    assert done.returncode == 0, done.stderr
    return {one["partition"]: one for one in json.loads(done.stdout)}[PARTITION]


def stored_events(testbed: ProjectorTestbed) -> int:
    with connect(testbed.url) as session:
        row = session.execute("select count(*) from events").fetchone()
    assert row is not None
    return int(row[0])


def wait_until_stored(testbed: ProjectorTestbed, count: int) -> None:
    eventually(lambda: "" if stored_events(testbed) == count else f"{stored_events(testbed)} of {count} are stored")


def wait_for_log(testbed: ProjectorTestbed, process: subprocess.Popen[str], text: str, seconds: float = 90) -> None:
    eventually(lambda: "" if text in testbed.log_of(process) else testbed.log_of(process) or "nothing logged", seconds)


def wait_for_state(testbed: ProjectorTestbed, state: str) -> None:
    eventually(lambda: "" if shown_partition(testbed)["state"] == state else str(shown_partition(testbed)))


def check_offsets(testbed: ProjectorTestbed) -> tuple[int, str]:
    done = stumble("check", "offsets", **testbed.environment())
    return done.returncode, done.stdout


def end_of_batches(log_file: Path, count: int) -> int:
    """Return where the first batches of a log end; each begins with 8 bytes of offset and 4 bytes of length."""
    data, end = log_file.read_bytes(), 0
    for _ in range(count):
        end += 12 + int.from_bytes(data[end + 8 : end + 12], "big")
    return end


def damage_batch(log_file: Path, number: int) -> None:
    """Change the last byte of a batch; the first is number 0."""
    last = end_of_batches(log_file, number + 1) - 1
    with log_file.open("r+b") as file:
        file.seek(last)
        (byte,) = file.read(1)
        file.seek(last)
        file.write(bytes([byte ^ 0xFF]))


def cut_after_batches(log_file: Path, count: int) -> None:
    """Cut a log after its first batches."""
    os.truncate(log_file, end_of_batches(log_file, count))
    for suffix in (".index", ".timeindex"):
        log_file.with_suffix(suffix).unlink(missing_ok=True)


def test_transactional_topic_is_read_to_its_end_without_a_warning(testbed):
    process = testbed.start()
    producer = transactional_producer(testbed)
    for number in range(50):
        producer.begin_transaction()
        producer.produce(testbed.topic, framed(event()), partition=PARTITION)
        producer.flush(30)
        producer.abort_transaction(30) if number % 5 == 4 else producer.commit_transaction(30)
    wait_until_stored(testbed, 40)
    eventually(testbed.lag, 10)
    shown = shown_partition(testbed)
    assert (shown["state"], shown["behind"], shown["stored"]) == ("READING", 0, 100)
    assert "no records" not in testbed.log_of(process)
    done = stumble("audit", **testbed.environment())
    assert done.returncode == 0, done.stdout + done.stderr


def test_open_transaction_that_holds_a_partition_is_named_after_a_minute(testbed):
    produce_batches(testbed, 2)
    process = testbed.start()
    eventually(testbed.lag)
    producer = transactional_producer(testbed)
    producer.begin_transaction()
    producer.produce(testbed.topic, framed(event()), partition=PARTITION)
    producer.flush(30)
    produce_batches(testbed, 2)
    shown = shown_partition(testbed)
    assert (shown["state"], shown["behind"]) == ("READING", 0), "a transaction may take some seconds"
    wait_for_log(testbed, process, "waiting for an open transaction at offset 2")
    wait_for_state(testbed, "OPEN_TRANSACTION")
    assert shown_partition(testbed)["behind"] == 3
    status, text = check_offsets(testbed)
    assert status == 1
    assert "waiting for an open transaction at offset 2 since" in text
    producer.commit_transaction(30)
    wait_until_stored(testbed, 5)
    wait_for_log(testbed, process, "the transaction has ended")
    eventually(lambda: "" if shown_partition(testbed)["behind"] == 0 else "behind")


def test_damaged_batch_stops_its_partition_until_it_is_skipped(own_testbed, log_file):
    testbed = own_testbed
    produce_batches(testbed, 5)
    damage_batch(log_file, 2)
    process = testbed.start()
    wait_until_stored(testbed, 2)
    reason = "the broker holds a damaged batch at offset 2 (_BAD_MSG: "
    wait_for_log(testbed, process, reason)
    shown = shown_partition(testbed)
    assert shown["state"] == "DAMAGED_BATCH"
    assert reason in shown["description"]
    status, text = check_offsets(testbed)
    assert status == 1
    assert "damaged batch" in text
    audit = stumble("audit", **testbed.environment())
    assert audit.returncode == 1
    assert f"damaged batch at offset 2 of partition {PARTITION}" in audit.stderr
    resumed = stumble("offsets", "resume", "--partition", str(PARTITION), **testbed.environment())
    assert "`stumble offsets set --partition 1 --to N --skip`" in resumed.stdout
    time.sleep(6)  # longer than the retry time
    assert stored_events(testbed) == 2, "nothing is skipped"
    skipped = stumble("offsets", "set", "--partition", "1", "--to", "3", "--skip", **testbed.environment())
    assert "continues at 3" in skipped.stdout, skipped.stderr
    wait_until_stored(testbed, 4)


@pytest.mark.parametrize("is_read_meanwhile", [True, False], ids=["projector runs", "no projector runs"])
def test_log_that_was_cut_and_has_grown_again_stops_its_partition(own_testbed, own_kafka, log_file, is_read_meanwhile):
    testbed = own_testbed
    produce_batches(testbed, 5)
    process = testbed.start()
    wait_until_stored(testbed, 5)
    if not is_read_meanwhile:
        process.terminate()
        process.wait(30)
    own_kafka.process.stop()  # at once, as a power failure does
    cut_after_batches(log_file, 3)
    own_kafka.start()
    testbed.forget_producer()
    if is_read_meanwhile:
        wait_for_log(testbed, process, "the topic ended before the next offset, 5")
    produce_batches(testbed, 4)  # past the store's offset
    if is_read_meanwhile:
        process.kill()
    restarted = testbed.start()
    wait_for_log(testbed, restarted, "the topic ended before the next offset, 5")
    shown = shown_partition(testbed)
    assert (shown["state"], shown["stored"], shown["high"]) == ("OFFSET_BEYOND_END", 5, 7)
    assert shown["stopped_since"]
    assert check_offsets(testbed)[0] == 1
    audit = stumble("audit", **testbed.environment())
    assert (audit.returncode, "was truncated before the store's offset" in audit.stderr) == (1, True), audit.stderr
    time.sleep(6)  # longer than the retry time
    assert stored_events(testbed) == 5, "records that replaced others are not passed over"
    resumed = stumble("offsets", "resume", "--partition", str(PARTITION), **testbed.environment())
    assert "continues at 0" in resumed.stdout, resumed.stderr
    wait_until_stored(testbed, 9)
    # The projector saves the states of its partitions every few seconds.
    eventually(lambda: "stopped" if shown_partition(testbed)["stopped_since"] else "")
