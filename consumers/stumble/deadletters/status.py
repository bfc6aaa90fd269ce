"""The state of each dead letter: the store has marks of those that were sent again, by their position in the topic.

The marks are not in Kafka: a filter selects dead letters from the middle of the topic, which a group offset cannot
express, and marks in the topic itself would make it longer. A mark is written after the broker has acknowledged the
record; a run interrupted in between sends the record once more, and the projector ignores the known event.
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
    """Another redrive is running."""


class RedriveCount(NamedTuple):
    """How often and when last a dead letter was sent again."""

    times: int
    last_at: datetime


class RedriveCounts:
    """The marks of one dead letter topic, by Kafka's id of the topic: one that is created again has no marks."""

    def __init__(self, connection: Connection[Any], topic_id: str, actions: str, max_replays: int) -> None:
        self._connection = connection
        self._topic_id = topic_id
        self._actions = actions
        self.max_replays = max_replays

    def marks(self, dead_letters: Sequence[DeadLetter]) -> Mapping[RecordId, RedriveCount]:
        """Return the marks of dead letters of one partition."""
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
        """Return the state of a dead letter."""
        if mark is not None:
            return "REDRIVEN"
        if dead_letter.origin is None or dead_letter.origin.topic != self._actions:
            return "FOREIGN"
        return "PARKED" if dead_letter.replays >= self.max_replays else "WAITING"

    def mark(self, record_ids: Sequence[RecordId]) -> None:
        """Store that the broker has accepted these dead letters again."""
        self._connection.execute(
            query("add_redrives"),
            {
                "topic_id": self._topic_id,
                "partitions": [record_id.partition for record_id in record_ids],
                "offsets": [record_id.offset for record_id in record_ids],
            },
        )

    def forget_before(self, lows: Mapping[int, int]) -> None:
        """Delete marks of dead letters that the topic no longer has; ``lows``: first offset by partition."""
        self._connection.execute(
            query("delete_redrive_counts"),
            {"topic_id": self._topic_id, "partitions": list(lows), "offsets": list(lows.values())},
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Exclude other redrives while the context is open; raises `BusyError`."""
        if not self._lock("try_lock_redrive"):
            raise BusyError("Another redrive of dead letters is running: wait until it has ended.")
        try:
            yield
        finally:
            if not self._connection.broken:
                self._lock("unlock_redrive")

    def _lock(self, statement: str) -> bool:
        row = self._connection.execute(query(statement), {"topic_id": self._topic_id}).fetchone()
        return bool(row and row[0])
