"""A chunk of records in flight: number of open deliveries, and refused records."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message

from stumble.outbox import RecordChunk
from stumble.relay.sender import is_permanent


class InFlightChunk:
    """One chunk between outbox and broker. It does not hold the records, which can be read again."""

    __slots__ = ("acknowledged", "alone", "chunk", "count", "faults", "oldest", "open", "problem", "refused", "size")

    def __init__(self, chunk: RecordChunk, faults: dict[int, str]) -> None:
        self.chunk = chunk._replace(records=[])
        self.size = max(chunk.end.offset - chunk.start.offset, 0)
        self.count = len(chunk.records)
        self.oldest = min((record.envelope.occurred_at for record in chunk.records), default=0)
        self.open = self.acknowledged = 0
        self.alone = False
        """Whether refused records were sent again, each in its own batch."""
        self.faults = faults
        """Why the relay itself rejects records, by their offset."""
        self.refused: dict[bytes, KafkaError] = {}
        """Values that the broker rejected, with their error; a delivery report has the value, but not the headers."""
        self.problem: KafkaError | None = None
        """Why other records must be sent again later."""

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Record one delivery report."""
        self.open -= 1
        if error is None:
            self.acknowledged += 1
        else:
            self.refuse(message.value() or b"", error)

    def refuse(self, value: bytes, error: KafkaError) -> None:
        """Record the error of a record that the broker or the client did not accept."""
        if is_permanent(error):
            self.refused[value] = error
        else:
            self.problem = error
