"""Reads a share of the topic into rows for the staging tables and, for a replay, into rows of `events`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stumble.audit.stage import staged_rows
from stumble.audit.topic import DecodingJob, read_records
from stumble.audit.unreadable import row_of
from stumble.signatures.record_signature import is_signed
from stumble.store.partitions import days_of_ids
from stumble.wire.kafka_record import headers_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from stumble.audit.offset_range import OffsetRange
    from stumble.settings.kafka import KafkaSettings


#: Records of which the headers are read to learn whether records are signed.
_SAMPLE = 10


@dataclass(slots=True)
class StagedRows:
    """Some records of the topic, ready to be inserted."""

    #: How many records were read, chosen or not.
    read: int
    #: How many of them are events.
    events_read: int
    #: Rows of `audit_staged`, in PostgreSQL's binary COPY format.
    staged: bytes
    #: Rows of `audit_unreadable`.
    unreadable: list[dict[str, Any]]
    #: How many records have no valid signature: they are no part of the history that the store holds.
    unsigned: int
    #: Whether one of the first records is signed, but not verified, since there are no public keys.
    unverified: bool
    #: Rows of `events` by id, and the days of those ids; empty unless the job requests them.
    events: dict[bytes, bytes] = field(default_factory=dict)
    days: set[int] = field(default_factory=set)


@dataclass(slots=True, frozen=True)
class ReadJob:
    """What to read of a topic; with `keys` only records that have one of them, with `events` also rows of `events`.

    Facts of events before `alone_before` (microseconds) get a row each, so that each can be removed again.
    """

    kafka: KafkaSettings
    span: OffsetRange
    keys: Collection[bytes] | None = None
    events: bool = False
    alone_before: int = 0

    def shared(self, count: int) -> list[ReadJob]:
        """Return at most `count` jobs for different partitions, which read about the same number of records each."""
        return [replace(self, span=span) for span in self.span.shared(count) if len(span)]


def read_rows(job: ReadJob) -> Iterator[StagedRows]:
    """Yield the rows of a range, some records at a time."""
    decoding, done, before = DecodingJob(job.kafka), 0, 0

    def note(count: int) -> None:
        nonlocal done
        done = count

    for messages in read_records(job.kafka, job.span, job.keys, note):
        readings, bad = decoding.readings(messages)
        rows = b"".join(staged_rows(readings, job.alone_before))
        unsigned = sum(item.error.is_unsigned for item in bad)
        unreadable = [row_of(item) for item in bad if not item.error.is_unsigned or item.error.depends_on_reader]
        unverified = not decoding.verifies and any(is_signed(headers_of(one)) for one in messages[:_SAMPLE])
        result = StagedRows(done - before, len(readings), rows, unreadable, unsigned, unverified)
        if job.events:
            result.events = {reading.event_id: reading.row for reading in reversed(readings)}
            result.days = days_of_ids(result.events)
        before = done
        yield result
