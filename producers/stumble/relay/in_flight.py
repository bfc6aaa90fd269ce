"""A chunk of records on its way: how many deliveries are still open, and what was refused."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message

from stumble.outbox import RecordChunk
from stumble.relay.sender import is_for_good


class InFlightChunk:
    """One chunk between outbox and broker. Its records are let go once they are queued and sound."""

    __slots__ = ("acknowledged", "alone", "chunk", "count", "oldest", "open", "problem", "refused", "size")

    def __init__(self, chunk: RecordChunk) -> None:
        self.chunk = chunk._replace(records=[])
        self.size = max(chunk.end.offset - chunk.start.offset, 0)
        self.count = len(chunk.records)
        self.oldest = min((record.envelope.occurred_at for record in chunk.records), default=0)
        self.open = self.acknowledged = 0
        self.alone = False
        """Whether what was refused was tried once more, each record in a batch of its own."""
        self.refused: dict[bytes, KafkaError] = {}
        """Values that the broker rejected: a delivery report tells a message's value, but not its headers."""
        self.problem: KafkaError | None = None
        """Why the rest has to be sent again later."""

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take note of one delivery."""
        self.open -= 1
        if error is None:
            self.acknowledged += 1
            return
        if is_for_good(error):
            self.refused[message.value() or b""] = error
        else:
            self.problem = error

    def refuse(self, value: bytes, error: KafkaError) -> None:
        """Take note of a record that the client itself did not take."""
        if is_for_good(error):
            self.refused[value] = error
        else:
            self.problem = error
