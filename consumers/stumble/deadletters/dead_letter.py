"""A dead letter: the original record, and the reason in its headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stumble.deadletters.producer import FIRST_SEEN, PREFIX, REPLAYS, UNREADABLE_HEADERS
from stumble.wire.kafka_record import headers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Message

    from stumble.wire.headers import Header
    from stumble.wire.kafka_record import KafkaRecord

_MOST_DIGITS = 18


class RecordId(NamedTuple):
    """Position in the dead letter topic; written ``partition:offset``."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def read(cls, text: str) -> RecordId:
        """Read ``partition:offset``; raises ``ValueError``."""
        first, colon, second = text.partition(":")
        if not colon or not _is_number(first) or not _is_number(second):
            raise ValueError(
                f"{text!r} is not a valid position in the dead letter topic; write partition:offset, such as 0:17"
            )
        return cls(int(first), int(second))


class RecordOrigin(NamedTuple):
    """Position of the original record; `timestamp` in milliseconds, None if Kafka has none."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead letter topic."""

    record_id: RecordId
    #: When it was written to the topic: milliseconds.
    at: int
    key: bytes | None
    value: bytes | None
    #: The original record's headers, unchanged.
    headers: tuple[Header, ...]
    #: None where the headers do not contain it: then stumble did not write the record.
    origin: RecordOrigin | None
    stage: str
    exception: str
    reason: str
    schema: str
    group: str
    first_seen: str
    replays: int
    #: Whether the original record's headers could not be read, so that they are not among `headers`.
    headers_unreadable: bool = False

    @property
    def short_exception(self) -> str:
        """The exception's class without its module."""
        return self.exception.rpartition(".")[2]

    def headers_again(self) -> list[Header]:
        """Return the headers to send it with: its own, the number of redrives and the time of the first failure."""
        again = [(REPLAYS, str(self.replays + 1).encode())]
        if self.first_seen:
            again.insert(0, (FIRST_SEEN, self.first_seen.encode()))
        return [*self.headers, *again]


def was_redriven(record: KafkaRecord) -> bool:
    """Return whether a record is a dead letter that was sent again."""
    return any(name == REPLAYS for name, _ in headers_of(record) or ())


def dead_letter_of(message: Message) -> DeadLetter:
    """Read a record of the dead letter topic."""
    given: list[Header] = [(str(name), _bytes(value)) for name, value in headers_of(message) or ()]
    errors = {
        name.removeprefix(PREFIX): (value or b"").decode("utf-8", "replace")
        for name, value in given
        if name.startswith(PREFIX)
    }
    replays = errors.get("replays", "")
    return DeadLetter(
        record_id=RecordId(message.partition() or 0, message.offset() or 0),
        at=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=tuple(header for header in given if not header[0].startswith(PREFIX)),
        origin=_origin(errors),
        stage=errors.get("stage", ""),
        exception=errors.get("exception.class.name", ""),
        reason=errors.get("exception.message", ""),
        schema=errors.get("schema", ""),
        group=errors.get("group", ""),
        first_seen=errors.get("first.seen", ""),
        # stumble writes numbers only; another program's value is replaced at the next redrive.
        replays=int(replays) if _is_number(replays) else 0,
        headers_unreadable=any(name == UNREADABLE_HEADERS for name, _ in given),
    )


def _origin(errors: Mapping[str, str]) -> RecordOrigin | None:
    topic, partition, offset = errors.get("topic"), errors.get("partition", ""), errors.get("offset", "")
    if not topic or not _is_number(partition) or not _is_number(offset):
        return None
    timestamp = errors.get("timestamp", "")
    return RecordOrigin(topic, int(partition), int(offset), int(timestamp) if _is_number(timestamp) else None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
