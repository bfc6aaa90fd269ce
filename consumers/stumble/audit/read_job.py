"""Reading a share of the topic into what is laid down of it: rows for the stage, and for a replay those of `events`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stumble.audit.bounded_executor import BoundedExecutor
from stumble.audit.stage import staged
from stumble.audit.topic import DecodingJob, records
from stumble.audit.unreadable import row_of
from stumble.audit.worker_pool import merged
from stumble.store.partitions import days_of_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from stumble.audit.offset_range import OffsetRange
    from stumble.audit.worker_main import Pipe
    from stumble.audit.worker_pool import WorkerProcess
    from stumble.settings.kafka import KafkaSettings


@dataclass(slots=True)
class StagedRows:
    """Some records, ready to be laid down."""

    #: How many were come past, chosen or not.
    looked_at: int
    records: int
    #: Rows of `audit_staged`, in PostgreSQL's binary COPY format.
    staged: bytes
    unreadable: list[dict[str, Any]]
    #: Rows of `events` by id, and the days of those ids; empty unless asked for.
    events: dict[bytes, bytes] = field(default_factory=dict)
    days: set[int] = field(default_factory=set)


@dataclass(slots=True, frozen=True)
class ReadJob:
    """The job of reading a range; with `keys` only records that have one, with `events` their rows too.

    Events from before `alone_before` (microseconds) are laid down so that each can be taken out again.
    """

    kafka: KafkaSettings
    span: OffsetRange
    keys: Collection[bytes] | None = None
    events: bool = False
    alone_before: int = 0

    def work(self, pipe: Pipe) -> None:
        """Send what is read; while the parent takes it, the next is decoded."""
        with BoundedExecutor[None]() as sending:
            for laid in self.laid():
                sending.submit(partial(pipe.send, laid))
            for _ in sending.rest():
                pass

    def laid(self) -> Iterator[StagedRows]:
        """Read here."""
        decoding, past, before = DecodingJob(self.kafka), 0, 0

        def look(done: int) -> None:
            nonlocal past
            past = done

        for messages in records(self.kafka, self.span, self.keys, look):
            readings, bad = decoding.readings(messages)
            rows = b"".join(staged(readings, self.alone_before))
            laid = StagedRows(past - before, len(readings), rows, [row_of(item) for item in bad])
            if self.events:
                laid.events = {reading.event_id: reading.row for reading in reversed(readings)}
                laid.days = days_of_ids(laid.events)
            before = past
            yield laid


def laid_by(job: ReadJob, helpers: Sequence[WorkerProcess]) -> Iterator[StagedRows]:
    """Read a range here and by `helpers`, each some of its partitions."""
    mine, *theirs = job.span.shared(1 + len(helpers))
    busy = [(helper, part) for helper, part in zip(helpers, theirs, strict=True) if len(part)]
    for helper, part in busy:
        helper.begin(replace(job, span=part))
    return merged(replace(job, span=mine).laid(), [helper for helper, _ in busy])
