"""Where the store is in the topic, what was lost, and going on elsewhere: a deliberate act of a person.

The projector never decides any of it. Its transactions compare the offset that is moved here, so one that runs
meanwhile writes nothing of what it had read and goes on from the new place within a second or two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg.errors import LockNotAvailable

from stumble.kafka.consumer import quiet
from stumble.kafka.errors import unreachable_error
from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from stumble.settings.kafka import KafkaSettings

_SECONDS = 15.0
_LOCK_TRIES = 5
#: FINE can go on. NEW was never read. EXPIRED: the next record is gone. BEYOND: the topic ends before it. RECREATED: it
#: is another topic under the name. GONE: the topic has no such partition.
Verdict = Literal["FINE", "NEW", "EXPIRED", "BEYOND", "RECREATED", "GONE"]
#: `oldest` and `newest` of what the topic holds, an offset, or a moment.
Aim = Literal["oldest", "newest"] | int | datetime


class OffsetError(StumbleError):
    """The offset can't be set like that."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One partition: the store's next offset, the topic's first and next one, and what that means."""

    partition: int
    verdict: Verdict
    stored: int | None
    low: int
    high: int
    #: Kafka's time of the last record that the store took in.
    last_record_at: datetime | None = None
    #: Kafka's time of the oldest record that the topic holds; asked only where some are lost.
    oldest_at: datetime | None = None

    @property
    def stopped(self) -> bool:
        """Whether it waits for a person."""
        return self.verdict in ("EXPIRED", "BEYOND", "RECREATED")

    @property
    def behind(self) -> int:
        """How many records wait."""
        return max(0, self.high - (self.low if self.stored is None or self.stopped else self.stored))

    @property
    def lost(self) -> tuple[int, int] | None:
        """First and last offset that nobody can read any more, where both are known."""
        return (self.stored, self.low - 1) if self.verdict == "EXPIRED" and self.stored is not None else None

    @property
    def told(self) -> str:
        """What it means, in a sentence."""
        since = f", written after {_clock(self.last_record_at)}" if self.last_record_at else ""
        until = f" and before {_clock(self.oldest_at)}" if self.oldest_at else ""
        match self.verdict:
            case "FINE":
                return "goes on"
            case "NEW":
                return f"was not read yet; begins at {self.low}"
            case "GONE":
                return "the topic has no such partition"
            case "EXPIRED":
                count = self.low - (self.stored or 0)
                return f"offsets {self.stored} to {self.low - 1} are lost: {count} records at most{since}{until}"
            case "BEYOND":
                return (
                    f"the topic ends before offset {self.stored}: it was cut back or restored; "
                    f"what was written there since is not read yet{since}"
                )
            case "RECREATED":
                return (
                    f"the topic was deleted and made anew: what the old one held from offset {self.stored} on is "
                    f"lost{since}{until}"
                )


class Standings:
    """Compares store and topic; use it in a ``with`` block. Raises `StumbleError` when Kafka doesn't answer."""

    def __init__(self, kafka: KafkaSettings, connection: Connection[Any]) -> None:
        self._kafka = kafka
        self.topic = kafka.topics.actions
        self._connection = connection
        self._consumer = Consumer(quiet(kafka.consumer_config("stumble-offsets", enable_partition_eof=True)))
        try:
            self.topic_id, self._count = self._describe()
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def all(self) -> Iterator[Standing]:
        """Yield where each partition stands, also such as were never read or are no longer there."""
        rows = self._rows()
        for partition in sorted({*rows, *range(self._count)}):
            yield self._standing(partition, rows.get(partition))

    def target(self, standing: Standing, aim: Aim) -> int:
        """Return the offset that is meant; raises `OffsetError` for one that the topic doesn't hold."""
        if standing.verdict == "GONE":
            raise OffsetError(f"The topic {self.topic} has no partition {standing.partition}.")
        if isinstance(aim, datetime):
            asked = TopicPartition(self.topic, standing.partition, max(0, int(aim.timestamp() * 1000)))
            try:
                (found,) = self._consumer.offsets_for_times([asked], timeout=_SECONDS)
            except KafkaException as error:
                raise self._silent(error) from error
            return int(found.offset) if found.offset >= 0 else standing.high
        wanted = {"oldest": standing.low, "newest": standing.high}.get(aim, aim) if isinstance(aim, str) else aim
        if not isinstance(wanted, int) or not standing.low <= wanted <= standing.high:
            raise OffsetError(
                f"Partition {standing.partition} can be read from {standing.low} to {standing.high}, not from {aim}."
            )
        return wanted

    def move(
        self, partition: int, aim: Aim, *, may_skip: bool, only_stopped: bool = False
    ) -> tuple[Standing, int | None]:
        """Let the store go on elsewhere; returns where it stood and the new offset, None where nothing is to be done.

        Holds the lock that writers of the partition take first, so nothing moves in between. Raises `OffsetError` where
        records would be passed over that can still be read, unless `may_skip`.
        """
        for attempt in range(_LOCK_TRIES):
            try:
                with self._connection.transaction():
                    asked = {"topic": self.topic, "partitions": [partition]}
                    self._connection.execute(query("lock_partitions"), asked)
                    standing = self._standing(partition, self._rows().get(partition), ask_time=False)
                    return self._moved(standing, aim, may_skip=may_skip, only_stopped=only_stopped)
            except LockNotAvailable:
                if attempt == _LOCK_TRIES - 1:
                    raise OffsetError(f"Partition {partition} is being written all the time: try again.") from None
        raise AssertionError

    def let_through(self, partition: int, until: int | None, *, dry_run: bool) -> int:
        """Let bad records before an offset, or the topic's end, be dead-lettered however many they are."""
        standing = self._standing(partition, self._rows().get(partition), ask_time=False)
        end = self.target(standing, "newest" if until is None else until)
        if not dry_run:
            asked = {"topic": self.topic, "topic_id": self.topic_id, "partition": partition, "until": end}
            self._connection.execute(query("set_bad_record_limit"), asked)
        return end

    def _moved(
        self, standing: Standing, aim: Aim, *, may_skip: bool, only_stopped: bool
    ) -> tuple[Standing, int | None]:
        if only_stopped and not standing.stopped:
            return standing, None
        offset = self.target(standing, aim)
        if standing.verdict == "FINE" and offset == standing.stored:
            return standing, None
        if not may_skip and (skipped := self.skipped(standing, offset)):
            raise OffsetError(
                f"That passes over {skipped} records of partition {standing.partition} that can still be read: "
                "they would be missing from the store. Say --skip if that is meant."
            )
        if standing.verdict in ("RECREATED", "BEYOND"):  # what was read before has its offsets from another topic
            asked = {"topic": self.topic, "partition": standing.partition}
            self._connection.execute(query("add_topic_break"), asked)
        self._connection.execute(
            query("set_offset"),
            {"topic": self.topic, "partition": standing.partition, "topic_id": self.topic_id, "offset": offset},
        )
        return standing, offset

    @staticmethod
    def skipped(standing: Standing, offset: int) -> int:
        """How many records that can still be read would be passed over."""
        begin = standing.stored if standing.verdict == "FINE" and standing.stored is not None else standing.low
        return max(0, offset - begin)

    def _rows(self) -> dict[int, tuple[Any, ...]]:
        found = self._connection.execute(query("load_offset_states"), {"topic": self.topic})
        return {row[0]: row[1:] for row in found}

    def _standing(self, partition: int, row: tuple[Any, ...] | None, *, ask_time: bool = True) -> Standing:
        topic_id, stored, last_record_at = row or ("", None, None)
        if partition >= self._count:
            return Standing(partition, "GONE", stored, 0, 0, last_record_at)
        low, high = self._bounds(partition)
        if stored is None:
            return Standing(partition, "NEW", None, low, high)
        verdict: Verdict = "FINE"
        if topic_id != self.topic_id:
            verdict = "RECREATED"
        elif stored < low:
            verdict = "EXPIRED"
        elif stored > high:
            verdict = "BEYOND"
        ask_time = ask_time and verdict in ("RECREATED", "EXPIRED") and low < high
        oldest = self._time_of(partition, low) if ask_time else None
        return Standing(partition, verdict, stored, low, high, last_record_at, oldest)

    def _bounds(self, partition: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=_SECONDS)
        except KafkaException as error:
            raise self._silent(error) from error
        return int(low), int(high)

    def _time_of(self, partition: int, offset: int) -> datetime | None:
        """Return Kafka's time of the first record from `offset` on, None where none comes."""
        self._consumer.assign([TopicPartition(self.topic, partition, offset)])
        found = self._consumer.poll(_SECONDS)
        self._consumer.unassign()
        if found is None or found.error() is not None:
            return None
        milliseconds = found.timestamp()[1]
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds > 0 else None

    def _describe(self) -> tuple[str, int]:
        client = AdminClient(quiet(self._kafka.client_config()))  # it answers only while it is held
        answers = client.describe_topics(TopicCollection([self.topic]), request_timeout=_SECONDS)
        try:
            found = answers[self.topic].result()
        except KafkaException as error:
            raise self._silent(error) from error
        return str(found.topic_id), len(found.partitions)

    def _silent(self, error: KafkaException) -> StumbleError:
        return unreachable_error(self._kafka, self.topic, error)


def _clock(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
