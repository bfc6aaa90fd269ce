"""A dead letter: the record as it was, and what its headers say of why it lies here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stumble.deadletters.producer import FIRST_SEEN, PREFIX, REPLAYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Message

    from stumble.wire.headers import Header

_MOST_DIGITS = 18


class RecordId(NamedTuple):
    """Where a letter lies in the dead letter topic; written ``partition:offset``."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def read(cls, text: str) -> RecordId:
        """Read ``partition:offset``; raises ``ValueError``."""
        first, colon, second = text.partition(":")
        if not colon or not _is_number(first) or not _is_number(second):
            raise ValueError(f"{text!r} is no place in the dead letter topic; write partition:offset, such as 0:17")
        return cls(int(first), int(second))


class RecordOrigin(NamedTuple):
    """Where a record was when it could not be taken in; `timestamp` in milliseconds, None where Kafka knew none."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead letter topic."""

    record_id: RecordId
    #: When it was put there: milliseconds.
    at: int
    key: bytes | None
    value: bytes | None
    #: The record's own headers, as they were.
    headers: tuple[Header, ...]
    #: None where the headers don't say it: then stumble didn't put it there.
    origin: RecordOrigin | None
    stage: str
    exception: str
    reason: str
    schema: str
    group: str
    first_seen: str
    replays: int

    @property
    def short_exception(self) -> str:
        """The exception's class without its module."""
        return self.exception.rpartition(".")[2]

    def headers_again(self) -> list[Header]:
        """Return the headers to send it with: its own, and how often that was tried since when."""
        again = [(REPLAYS, str(self.replays + 1).encode())]
        if self.first_seen:
            again.insert(0, (FIRST_SEEN, self.first_seen.encode()))
        return [*self.headers, *again]


def dead_letter_of(message: Message) -> DeadLetter:
    """Read a record of the dead letter topic."""
    given: list[Header] = [(str(name), _bytes(value)) for name, value in list(message.headers() or ())]
    said = {
        name.removeprefix(PREFIX): (value or b"").decode("utf-8", "replace")
        for name, value in given
        if name.startswith(PREFIX)
    }
    replays = said.get("replays", "")
    return DeadLetter(
        record_id=RecordId(message.partition() or 0, message.offset() or 0),
        at=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=tuple(header for header in given if not header[0].startswith(PREFIX)),
        origin=_origin(said),
        stage=said.get("stage", ""),
        exception=said.get("exception.class.name", ""),
        reason=said.get("exception.message", ""),
        schema=said.get("schema", ""),
        group=said.get("group", ""),
        first_seen=said.get("first.seen", ""),
        # What isn't a number isn't ours: from the next try on it is.
        replays=int(replays) if _is_number(replays) else 0,
    )


def _origin(said: Mapping[str, str]) -> RecordOrigin | None:
    topic, partition, offset = said.get("topic"), said.get("partition", ""), said.get("offset", "")
    if not topic or not _is_number(partition) or not _is_number(offset):
        return None
    timestamp = said.get("timestamp", "")
    return RecordOrigin(topic, int(partition), int(offset), int(timestamp) if _is_number(timestamp) else None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
