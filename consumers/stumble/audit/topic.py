"""Reads a range of a topic once, in bounded memory, without a consumer group."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stumble.ingest.batch import BadRecord
from stumble.ingest.decoding import EventDecoder
from stumble.ingest.errors import BadRecordError
from stumble.kafka.consumer import LONG_RUNS, quiet_config
from stumble.kafka.errors import DAMAGED_BATCH, OUT_OF_RANGE, client_text
from stumble.signatures.optional import verifier_of
from stumble.wire.errors import RegistryUnavailable, StumbleError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from confluent_kafka import KafkaError, Message

    from stumble.audit.offset_range import OffsetRange
    from stumble.ingest.decoding import DecodedEvent
    from stumble.settings.kafka import KafkaSettings

_RECORDS_PER_CALL = 1000
#: Seconds without an answer of the brokers, or of the registry, after which a read fails.
TIMEOUT_SECONDS = 60.0
PAUSE_SECONDS = 2.0
T = TypeVar("T")


def read_records(
    kafka: KafkaSettings,
    span: OffsetRange,
    keys: Collection[bytes] | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Iterator[list[Message]]:
    """Yield the records of a range, some at a time, in order per partition; with `keys` only those that have one.

    `on_progress` is called with the number of records read so far, chosen or not. Raises `StumbleError` when the
    brokers stop answering, or no longer have the next record.
    """
    done = 0
    left = {partition: end for partition, end in span.ends.items() if span.starts[partition] < end}
    consumer = Consumer(quiet_config(_config(kafka)))
    try:
        consumer.assign([TopicPartition(span.topic, partition, span.starts[partition]) for partition in left])
        received_at = time.monotonic()
        while left:
            messages = consumer.consume(_RECORDS_PER_CALL, 0.5)
            if messages:
                received_at = time.monotonic()
            elif time.monotonic() - received_at > TIMEOUT_SECONDS:
                raise StumbleError(f"Kafka at {kafka.bootstrap_servers} does not answer: start it, then try again.")
            result = [message for message in messages if _inside(message, left, span.topic)]
            done += len(result)
            on_progress(done)
            yield result if keys is None else [message for message in result if message.key() in keys]
    except KafkaException as error:
        raise StumbleError(f"Reading from Kafka failed: {error.args[0].str()}; run the command again.") from error
    finally:
        consumer.close()


def _config(kafka: KafkaSettings) -> dict[str, object]:
    return kafka.consumer_config(
        "stumble-audit",
        enable_partition_eof=True,
        queued_min_messages=10_000,
        **LONG_RUNS,
        fetch_queue_backoff_ms=10,
        check_crcs=True,
    )


def _inside(message: Message, left: dict[int, int], topic: str) -> bool:
    """Return whether a record is in the range; remove partitions from `left` whose end is reached."""
    partition, offset, error = message.partition(), message.offset(), message.error()
    if error is not None:
        _raise_if_final(error, topic, partition, offset)
    if partition is None or offset is None or partition not in left:
        return False
    end = left[partition]
    if offset + (error is None) >= end:
        del left[partition]
    return error is None and offset < end


def _raise_if_final(error: KafkaError, topic: str, partition: int | None, offset: int | None) -> None:
    code = error.code()
    if code in DAMAGED_BATCH:
        raise StumbleError(_damaged_batch(topic, partition, offset, error))
    if code in OUT_OF_RANGE:
        raise StumbleError(
            f"Kafka's retention has deleted records of partition {partition} of {topic} before they were read: "
            "run the command again; it starts at the oldest record that is left."
        )
    if error.fatal():
        raise StumbleError(f"Kafka client failed: {error.str()}; run the command again.")


def _damaged_batch(topic: str, partition: int | None, offset: int | None, error: KafkaError) -> str:
    return (
        f"The broker holds a damaged batch at offset {offset} of partition {partition} of {topic} "
        f"({client_text(error)}): its records are lost unless another replica has them. `kafka-dump-log.sh` shows "
        "which they are; audit the time after them with --since."
    )


def wait_for_registry(decode: Callable[[], T], timeout: float = TIMEOUT_SECONDS, pause: float = PAUSE_SECONDS) -> T:
    """Return the result of `decode`; raises `RegistryUnavailable` when the registry has not answered for `timeout`."""
    begun = time.monotonic()
    while True:
        try:
            return decode()
        except RegistryUnavailable:
            if time.monotonic() - begun > timeout:
                raise
            time.sleep(pause)


class DecodingJob:
    """Decodes records, and waits while the registry does not answer."""

    def __init__(
        self,
        kafka: KafkaSettings,
        *,
        registry_timeout: float = TIMEOUT_SECONDS,
        registry_pause: float = PAUSE_SECONDS,
    ) -> None:
        self._registry_timeout, self._registry_pause = registry_timeout, registry_pause
        resolve = None
        if kafka.schema_registry_url:
            from stumble.settings.registry import Registry  # noqa: PLC0415  # 10 MB in every process

            resolve = Registry(kafka).resolve
        verifier = verifier_of(kafka.public_keys_file)
        self.verifies = verifier is not None
        """Whether the signatures of records are verified."""
        self._decoder = EventDecoder(resolve, verifier)

    def readings(self, messages: list[Message]) -> tuple[list[DecodedEvent], list[BadRecord]]:
        """Return the decoded events of records, and the bad records.

        The projector must dead-letter the bad ones that have a valid signature. Raises `RegistryUnavailable` when the
        registry has not answered for `registry_timeout` seconds.
        """
        result, bad = [], []
        for message in messages:
            partition, offset = message.partition() or 0, message.offset() or 0
            try:
                result.append(self._read(message, partition, offset))
            except BadRecordError as error:
                bad.append(BadRecord(message, partition, offset, error))
        return result, bad

    def _read(self, message: Message, partition: int, offset: int) -> DecodedEvent:
        return wait_for_registry(
            lambda: self._decoder.decode_event(message, message.value() or b"", partition, offset),
            self._registry_timeout,
            self._registry_pause,
        )
