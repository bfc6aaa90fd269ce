"""A chunk of records on its way: how many deliveries are still open, and what was refused."""

from __future__ import annotations

from confluent_kafka import KafkaError, Message

from stumble.producers.outbox import Chunk
from stumble.producers.relay.sender import is_for_good


class Flight:
    """One chunk between outbox and broker. Its records are let go once they are queued and sound."""

    __slots__ = ("alone", "chunk", "count", "oldest", "open", "problem", "refused", "size")

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk._replace(records=[])
        self.size = max(chunk.end.offset - chunk.start.offset, 0)
        self.count = len(chunk.records)
        self.oldest = min((record.envelope.occurred_at for record in chunk.records), default=0)
        self.open = 0
        self.alone = False
        """Whether what was refused was tried once more, each record in a batch of its own."""
        self.refused: dict[bytes, KafkaError] = {}
        """Event ids that were refused for good, as long as nothing else is known of them."""
        self.problem: KafkaError | None = None
        """Why the rest has to be sent again later."""

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take note of one delivery."""
        self.open -= 1
        if error is None:
            return
        if is_for_good(error):
            self.refused[event_id_of(message)] = error
        else:
            self.problem = error

    def refuse(self, event_id: bytes, error: KafkaError) -> None:
        """Take note of a record that the client itself did not take."""
        if is_for_good(error):
            self.refused[event_id] = error
        else:
            self.problem = error


def event_id_of(message: Message) -> bytes:
    """Return the 16 bytes of a message's event id from its headers; empty where there is none."""
    headers = message.headers()
    for name, value in headers if isinstance(headers, list) else ():
        if name == "ce_id" and isinstance(value, bytes):
            return bytes.fromhex(value.decode().replace("-", ""))
    return b""
