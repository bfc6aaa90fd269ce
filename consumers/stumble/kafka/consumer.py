"""The projector's Kafka consumer: positions come from the store, never from the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is documented

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from confluent_kafka import Message

    from stumble.settings.kafka import KafkaSettings

#: Where a partition is read from while the store can't say: paused, so nothing is taken from there.
_UNPLACED = 0
_ADMIN_SECONDS = 10.0
_TOPIC_SECONDS = 3.0
_CRITICAL = 2
#: Long runs of one partition hold whole requests: a request whose events come in one batch is derived and written once.
#: A fifth less work than with librdkafka's 1 MiB a partition, and less memory.
LONG_RUNS = {"fetch_message_max_bytes": 4 << 20, "fetch_max_bytes": 8 << 20, "queued_max_messages_kbytes": 8192}
#: What a client that reads alone has nothing to do with.
_MEMBERSHIP = ("group.protocol", "group.instance.id", "group.remote.assignor", "partition.assignment.strategy")


class TopicConsumer:
    """Reads one topic as a member of a group.

    `place` answers where to read a partition from, or None while that isn't known; `lost` is told which partitions
    are no longer ours; `trouble` hears what the client meets. All are called from inside `poll`.

    A member that did not hear its group for a session has lost its partitions, and when the broker is back it waits
    another session to get them anew. `keep` answers where to read on meanwhile, alone: nobody else was given them
    either, and if somebody was, the store refuses one of the two.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        group: str,
        *,
        place: Callable[[list[int]], Mapping[int, int | None]],
        lost: Callable[[list[int]], None],
        trouble: Callable[[KafkaError], None],
        keep: Callable[[list[int]], Mapping[int, int]] = lambda _: {},
    ) -> None:
        self.topic = topic
        self._keep = keep
        self._place = place
        self._lost = lost
        config = consumer_config(kafka, group)
        self._incremental = config.get("group.protocol") == "consumer"
        self._consumer = Consumer({**config, "error_cb": trouble})
        self._config = {name: value for name, value in config.items() if name not in _MEMBERSHIP}
        self._alone: Consumer | None = None
        self._held: list[int] = []
        self._admin = AdminClient(quiet(kafka.client_config()))

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._gone)

    def poll(self, limit: int, timeout: float) -> list[Message]:
        """Return what is there: at most `limit` records, after at most `timeout` seconds without any."""
        if self._alone is not None and (found := self._consumer.poll(0)) is not None:
            return [found]  # the group is back, and has ended our reading alone
        reader = self._reading
        first = reader.poll(timeout)
        if first is None:
            return []
        return [first, *reader.consume(limit - 1, 0)]

    def go_to(self, partition: int, positions: Mapping[int, int], paused: Iterable[int]) -> None:
        """Read a partition from its place in `positions`, which holds those of all assigned partitions.

        Raises `KafkaException` when the client is no longer there.
        """
        wanted = TopicPartition(self.topic, partition, positions[partition])
        try:
            self._reading.seek(wanted)
        except KafkaException:  # after an expired offset the client has given the partition up
            if self._incremental and self._alone is None:
                self._consumer.incremental_unassign([TopicPartition(self.topic, partition)])
                self._consumer.incremental_assign([wanted])
            else:
                everything = [TopicPartition(self.topic, number, offset) for number, offset in positions.items()]
                self._reading.assign(everything)
                self.pause(paused)

    def pause(self, partitions: Iterable[int]) -> None:
        """Fetch nothing from these partitions for now; the membership stays."""
        self._reading.pause([TopicPartition(self.topic, partition) for partition in partitions])

    def resume(self, partitions: Iterable[int]) -> None:
        """Fetch from these partitions again."""
        self._reading.resume([TopicPartition(self.topic, partition) for partition in partitions])

    def hint(self, offsets: Mapping[int, int]) -> None:
        """Tell the group how far the store is, for the tools that show lag; nothing depends on it."""
        if offsets and self._alone is None:
            found = [TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()]
            try:
                self._consumer.commit(offsets=found, asynchronous=True)
            except KafkaException:
                return

    def high_watermark(self, partition: int) -> int | None:
        """Return the end of a partition as the last fetch told it."""
        try:
            _, high = self._reading.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)
        except KafkaException:
            return None
        return int(high) if high >= 0 else None

    def low_watermark(self, partition: int) -> int:
        """Return the first offset that the broker still has; raises `KafkaException` without an answer."""
        return self._watermarks(partition)[0]

    def has(self, partition: int, offset: int) -> bool:
        """Tell whether the broker can go on at an offset; no while it doesn't answer."""
        try:
            low, high = self._watermarks(partition)
        except KafkaException:
            return False
        return low <= offset <= high

    def _watermarks(self, partition: int) -> tuple[int, int]:
        asked = TopicPartition(self.topic, partition)
        low, high = self._consumer.get_watermark_offsets(asked, timeout=_ADMIN_SECONDS)
        return int(low), int(high)

    def ends(self, partitions: Iterable[int]) -> dict[int, int] | None:
        """Ask the broker where partitions end now (next offset); None while it doesn't answer. From any thread."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(self.topic, partition): latest for partition in partitions}
        try:
            answers = self._admin.list_offsets(wanted, request_timeout=_TOPIC_SECONDS)
            return {asked.partition: int(answer.result().offset) for asked, answer in answers.items()}
        except KafkaException:
            return None

    def topic_id(self) -> str | None:
        """Return Kafka's id of the topic, None while the broker doesn't say or there is no such topic."""
        try:
            answers = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=_TOPIC_SECONDS)
            found = answers[self.topic].result()
        except KafkaException:
            return None
        return str(found.topic_id)

    def close(self) -> None:
        """Leave the group."""
        self._end_alone()
        self._consumer.close()

    @property
    def _reading(self) -> Consumer:
        return self._consumer if self._alone is None else self._alone

    def _assigned(self, consumer: Consumer, given: list[TopicPartition]) -> None:
        self._end_alone()
        places = self._place([item.partition for item in given])
        # The client remembers across assignments that a partition was paused, even one that was elsewhere meanwhile.
        self.resume([partition for partition, offset in places.items() if offset is not None])
        wanted = [TopicPartition(self.topic, p, _UNPLACED if o is None else o) for p, o in places.items()]
        if self._incremental:
            consumer.incremental_assign(wanted)
        else:
            consumer.assign(wanted)
        self.pause([partition for partition, offset in places.items() if offset is None])

    def _revoked(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        self._lost([item.partition for item in taken])
        if self._incremental:
            consumer.incremental_unassign(taken)
        else:
            consumer.unassign()

    def _gone(self, consumer: Consumer, taken: list[TopicPartition]) -> None:
        places = self._keep([item.partition for item in taken])
        if not places:
            self._revoked(consumer, taken)
            return
        self._held = [item.partition for item in taken]
        if self._incremental:
            consumer.incremental_unassign(taken)
        else:
            consumer.unassign()
        self._alone = Consumer(self._config)
        self._alone.assign([TopicPartition(self.topic, partition, offset) for partition, offset in places.items()])

    def _end_alone(self) -> None:
        if self._alone is not None:
            self._alone.close()
            self._alone = None
            self._lost(self._held)


def quiet(config: dict[str, Any]) -> dict[str, Any]:
    """Keep librdkafka from logging every attempt to connect: we say once what is wrong."""
    return {"log_level": _CRITICAL, **config}


def consumer_config(kafka: KafkaSettings, group: str) -> dict[str, Any]:
    """Return the consumer's settings: quick take-over, a small prefetch, records at once when it is calm."""
    config = quiet(
        kafka.consumer_config(
            group,
            partition_assignment_strategy="range",
            session_timeout_ms=6000,
            heartbeat_interval_ms=500,  # whoever joins waits until the others hear of it
            max_poll_interval_ms=300_000,
            fetch_wait_max_ms=100,
            fetch_queue_backoff_ms=10,
            queued_min_messages=20_000,
            **LONG_RUNS,
            topic_metadata_refresh_interval_ms=10_000,
            metadata_max_age_ms=30_000,
            reconnect_backoff_max_ms=2000,
            enable_partition_eof=False,
            log_connection_close=False,
            check_crcs=True,
        )
    )
    if config.get("group.protocol") == "consumer":  # the broker decides these in the new protocol
        for name in ("session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"):
            config.pop(name, None)
    return config


__all__ = ["LONG_RUNS", "TopicConsumer", "consumer_config", "quiet"]
