"""What became of each letter: which were sent again is kept in the store, by their place in the topic.

In the store and not in Kafka: a filter takes letters from the middle, which no group offset can tell, and marks
written to the topic itself would grow what they are about. A mark follows the broker's word that it has the record;
who is interrupted in between sends it once more, and the projector knows its event.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from stumble.store.queries import query
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

    from stumble.deadletters.dead_letter import DeadLetter, RecordId
    from stumble.deadletters.selection import State


class BusyError(StumbleError):
    """Somebody re-drives already."""


class RedriveCount(NamedTuple):
    """How often and when last a letter was sent again."""

    times: int
    last_at: datetime


class RedriveCounts:
    """The marks of one dead letter topic, by Kafka's id of it: one made anew under the name begins without any."""

    def __init__(self, connection: Connection[Any], topic_id: str, actions: str, max_replays: int) -> None:
        self._connection = connection
        self._topic_id = topic_id
        self._actions = actions
        self.max_replays = max_replays

    def marks(self, dead_letters: Sequence[DeadLetter]) -> Mapping[RecordId, RedriveCount]:
        """Return the marks among letters of one partition."""
        if not dead_letters:
            return {}
        rows = self._connection.execute(
            query("load_redrive_counts"),
            {
                "topic_id": self._topic_id,
                "partition": dead_letters[0].record_id.partition,
                "offsets": [dead_letter.record_id.offset for dead_letter in dead_letters],
            },
        )
        by_offset = {offset: RedriveCount(times, last_at) for offset, times, last_at in rows}
        return {
            dead_letter.record_id: by_offset[dead_letter.record_id.offset]
            for dead_letter in dead_letters
            if dead_letter.record_id.offset in by_offset
        }

    def of(self, dead_letter: DeadLetter, mark: RedriveCount | None) -> State:
        """Say what became of a letter."""
        if mark is not None:
            return "REDRIVEN"
        if dead_letter.origin is None or dead_letter.origin.topic != self._actions:
            return "FOREIGN"
        return "PARKED" if dead_letter.replays >= self.max_replays else "WAITING"

    def mark(self, record_ids: Sequence[RecordId]) -> None:
        """Remember that the broker has these letters' records again."""
        self._connection.execute(
            query("add_redrives"),
            {
                "topic_id": self._topic_id,
                "partitions": [record_id.partition for record_id in record_ids],
                "offsets": [record_id.offset for record_id in record_ids],
            },
        )

    def forget_before(self, lows: Mapping[int, int]) -> None:
        """Forget marks of letters that the topic no longer holds (partition to its first offset)."""
        self._connection.execute(
            query("delete_redrive_counts"),
            {"topic_id": self._topic_id, "partitions": list(lows), "offsets": list(lows.values())},
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else re-drive meanwhile; raises `BusyError`."""
        if not self._lock("try_lock_redrive"):
            raise BusyError("Somebody re-drives dead letters already: wait until that has ended.")
        try:
            yield
        finally:
            if not self._connection.broken:
                self._lock("unlock_redrive")

    def _lock(self, statement: str) -> bool:
        row = self._connection.execute(query(statement), {"topic_id": self._topic_id}).fetchone()
        return bool(row and row[0])
