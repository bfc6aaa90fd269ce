"""Where to start reading: the store's offsets, checked against the topic as it is now."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from confluent_kafka import KafkaException

from stumble.kafka.errors import is_log_truncation
from stumble.projector.partition_state import PartitionState, PartitionStatus, compare_offsets
from stumble.store.connect import StoreError
from stumble.store.incarnation import begin_incarnation, connect_writer
from stumble.store.queries import query
from stumble.store.rights import describe_store_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from confluent_kafka import KafkaError
    from psycopg import Connection

    from stumble.ingest.transaction import StoreWriter
    from stumble.runtime.state_log import StateLog


class TopicInfo(Protocol):
    """What `StartOffsets` reads of a topic; `TopicConsumer` reads it from the broker."""

    topic: str

    def topic_id(self) -> str | None: ...  # noqa: D102
    def low_watermark(self, partition: int) -> int: ...  # noqa: D102
    def end_offsets(self, partitions: Iterable[int]) -> dict[int, int] | None: ...  # noqa: D102
    def committed_offsets(self, partitions: Iterable[int]) -> dict[int, int]: ...  # noqa: D102


class StartOffsets:
    """Loads the start offsets of partitions from store and broker, and sets the topic id that they belong to."""

    def __init__(
        self, url: str, application: str, topic: TopicInfo, store_writer: StoreWriter, state_log: StateLog
    ) -> None:
        self._url = url
        self._application = application
        self._topic = topic
        self._store_writer = store_writer
        self._state_log = state_log
        #: Partition to a state that needs an operator and that the store does not have yet.
        self._unstored: dict[int, PartitionStatus] = {}

    def load(self, partitions: Sequence[int]) -> list[PartitionStatus]:
        """Return each partition's status: READING with its offset, or why it can't be read. Raises nothing.

        The states that `explain_out_of_range` found are stored before, if the store was unavailable then.
        """
        try:
            topic_id = self._topic.topic_id()
            if topic_id is None:
                return self._unknown(partitions)
            self._store_writer.topic_id = topic_id
            with connect_writer(self._url, self._application) as connection:
                self._store_stops(connection)
                committed = self._compare_with_group(connection, topic_id, partitions)
                name, low = self._topic.topic, self._topic.low_watermark
                statuses = list(load_start_offsets(connection, name, topic_id, partitions, low).values())
                if not self._note_ends(connection, topic_id, partitions, committed):
                    return self._unknown(partitions)
        except KafkaException as error:
            reason = error.args[0].str()
            text = f"Kafka did not return the first offsets of {self._topic.topic}: {reason}; reading waits."
            self._state_log.say("start offsets", text)
            return self._unknown(partitions)
        except (StoreError, psycopg.Error) as error:
            self._state_log.say(
                "start offsets", f"{describe_store_error(error, 'projector').rstrip('.')}. Reading waits."
            )
            return self._unknown(partitions)
        self._state_log.over("start offsets", f"Start offsets of {self._topic.topic} are available; reading continues.")
        return statuses

    def explain_out_of_range(
        self, partition: int, offset: int, error: KafkaError, refused: int | None
    ) -> PartitionStatus:
        """Return why the client cannot read from the store's next offset. Raises nothing.

        `refused` is the offset of the error, None if the client gives none. A state that needs an operator is stored,
        since the topic may hold other records at the offset soon. The state is NO_START_OFFSET if the broker does not
        answer, or if the error is about another offset.
        """
        state = self._state_of(partition, offset, error, refused)
        status = PartitionStatus(self._topic.topic, partition, state, offset, detail=error.str())
        if state.needs_operator:
            self._unstored[partition] = status
            with (  # if the store is unavailable, `load` stores it: the partition stays blocked until then
                suppress(StoreError, psycopg.Error),
                connect_writer(self._url, self._application) as connection,
            ):
                self._store_stops(connection)
        return status

    def _state_of(self, partition: int, offset: int, error: KafkaError, refused: int | None) -> PartitionState:
        if is_log_truncation(error):
            return PartitionState.OFFSET_BEYOND_END
        try:
            low, ends = self._topic.low_watermark(partition), self._topic.end_offsets([partition])
        except KafkaException:
            return PartitionState.NO_START_OFFSET
        if ends is None:
            return PartitionState.NO_START_OFFSET
        state = compare_offsets(offset, low, ends[partition])
        if state.needs_operator:
            return state
        # The topic has the offset now: when the broker refused it, the topic was shorter.
        return PartitionState.OFFSET_BEYOND_END if refused == offset else PartitionState.NO_START_OFFSET

    def _store_stops(self, connection: Connection[Any]) -> None:
        for status in self._unstored.values():
            store_stop(connection, status)
        self._unstored.clear()

    def topic_was_recreated(self) -> bool:
        """Whether the topic was deleted and created again since its offsets were loaded."""
        topic_id = self._topic.topic_id()
        return topic_id is not None and self._store_writer.topic_id not in ("", topic_id)

    def _compare_with_group(
        self, connection: Connection[Any], topic_id: str, partitions: Sequence[int]
    ) -> Mapping[int, int]:
        """Begin an incarnation if the group committed more than the store holds: it went back, as by a disk's snapshot.

        Return what the group committed. An offset that an operator set back does not count, since the store keeps the
        highest one.
        """
        committed = self._topic.committed_offsets(partitions)
        parameters = {"topic": self._topic.topic, "topic_id": topic_id, "partitions": list(partitions)}
        highest = connection.execute(query("load_highest_offsets"), parameters).fetchall()
        if any(committed.get(partition, 0) > offset for partition, offset in highest):
            begin_incarnation(connection, "the store has older offsets than the consumer group")
        return committed

    def _note_ends(
        self, connection: Connection[Any], topic_id: str, partitions: Sequence[int], committed: Mapping[int, int]
    ) -> bool:
        """Note the ends of partitions that the incarnation has not noted; return whether the broker told them."""
        topic = self._topic.topic
        rows = connection.execute(query("load_offsets"), {"topic": topic, "partitions": list(partitions)})
        wanted = [partition for partition, _, _, is_noted in rows if not is_noted]
        ends = self._topic.end_offsets(wanted) if wanted else {}
        if ends:
            parameters = {
                "topic": topic,
                "topic_id": topic_id,
                "partitions": list(ends),
                "ends": list(ends.values()),
                "committed": [committed.get(partition, 0) for partition in ends],
            }
            connection.execute(query("note_catch_up_offsets"), parameters)
        return ends is not None

    def _unknown(self, partitions: Sequence[int]) -> list[PartitionStatus]:
        return [PartitionStatus(self._topic.topic, p, PartitionState.NO_START_OFFSET) for p in partitions]


def load_start_offsets(
    connection: Connection[Any],
    topic: str,
    topic_id: str,
    partitions: Iterable[int],
    low_watermark: Callable[[int], int],
) -> dict[int, PartitionStatus]:
    """Return each partition's next offset (`stored`), or why it is stopped.

    One that was never read starts at the topic's first offset.
    """
    wanted = list(partitions)
    rows = _read(connection, topic, wanted)
    new = [partition for partition in wanted if partition not in rows]
    if new:
        lows = [low_watermark(partition) for partition in new]
        parameters = {"topic": topic, "topic_id": topic_id, "partitions": new, "offsets": lows}
        connection.execute(query("create_offsets"), parameters)
        rows = _read(connection, topic, wanted)
    statuses = {}
    for partition in wanted:
        stored_topic_id, stored, leader_epoch, stopped_state, since, reason = rows[partition]
        state = stored_state(stored_topic_id, topic_id, stopped_state)
        status = PartitionStatus(topic, partition, state, stored, reason or "", leader_epoch, since)
        if state.needs_operator and stopped_state is None:
            store_stop(connection, status)
        statuses[partition] = status
    return statuses


def stored_state(stored_topic_id: str, topic_id: str, stopped_state: str | None) -> PartitionState:
    """Return the state of a partition as its row has it; `topic_id` is Kafka's id of the topic as it is now."""
    if stored_topic_id != topic_id:
        return PartitionState.TOPIC_RECREATED
    return PartitionState.READING if stopped_state is None else PartitionState(stopped_state)


def store_stop(connection: Connection[Any], status: PartitionStatus) -> None:
    """Store that a partition is stopped at the store's offset, unless this was stored or the offset was moved."""
    parameters = {
        "topic": status.topic,
        "partition": status.partition,
        "offset": status.stored,
        "state": status.state.value,
        "reason": status.detail,
    }
    connection.execute(query("stop_partition"), parameters)


def _read(connection: Connection[Any], topic: str, partitions: list[int]) -> Mapping[int, tuple[Any, ...]]:
    rows = connection.execute(query("load_start_offsets"), {"topic": topic, "partitions": partitions})
    return {row[0]: row[1:] for row in rows}
