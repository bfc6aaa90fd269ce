"""Records that can't be read: each must be in the dead letter topic; otherwise it was skipped.

An event of the store whose record can't be read here is not judged: the projector that stored it had another release,
registry or file of public keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stumble.audit.report import READING_REMEDY
from stumble.deadletters.reader import DeadLetterTopic
from stumble.store.json_rows import as_json
from stumble.store.queries import query
from stumble.wire import text
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg import Connection

    from stumble.audit.offset_range import OffsetRange
    from stumble.audit.report import AuditReport
    from stumble.deadletters.dead_letter import DeadLetter
    from stumble.ingest.batch import BadRecord
    from stumble.settings.kafka import KafkaSettings

BEFORE_DEAD_LETTERS = "unreadable records older than the dead letter topic"
UNJUDGED_EVENTS = "events of the store whose records cannot be read"
UNJUDGED_RECORDS = "records that only another reader can read, and that are not dead letters"
_GROUP = "stumble-audit"
_REASON_CHARACTERS = 300
#: Ids of that many events can be given to each worker.
_MOST_UNJUDGED = 100_000
#: Later than any record.
_EVER_MS = 1 << 62


class UnreadableRecords:
    """The records that the audit could not read, in the table `audit_unreadable` of its session."""

    def __init__(
        self, connection: Connection[Any], kafka: KafkaSettings, on_progress: Callable[[str, int, int], None]
    ) -> None:
        self._connection = connection
        self._kafka = kafka
        self._on_progress = on_progress
        self._is_empty = True

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add records, each as a row from `row_of`."""
        if rows:
            self._is_empty = False
            self._connection.execute(query("add_audit_unreadable"), {"rows": as_json(rows)})

    def account_for(self, report: AuditReport) -> None:
        """Search for each record in the dead letter topic and in the store; add a difference for those in neither.

        A projector writes a dead letter before the store's offset passes the record: call this after reading that
        offset. Raises `KafkaUnavailableError` where there are records to search for and the topic can't be read.
        """
        records, dead_letters = self._counts()
        if records > dead_letters:
            reaches_ms = self._mark_dead_letters(records - dead_letters)
            row = self._connection.execute(query("compare_unreadable"), {"reaches_ms": reaches_ms}).fetchone()
            older, only_other_reader, reason = row or (0, 0, None)
            report.leave_out(BEFORE_DEAD_LETTERS, older)
            report.leave_unjudged(UNJUDGED_RECORDS, only_other_reader, reason)
        report.unreadable, report.dead_letters = self._counts()

    def unjudged_events(self, span: OffsetRange, report: AuditReport) -> frozenset[str]:
        """Return the ids of the store's events whose records can't be read, and count them in the report.

        Raises `StumbleError` if they are too many.
        """
        if self._is_empty:  # the statement reads all events
            return frozenset()
        where = {"limit": _MOST_UNJUDGED + 1, **span.as_parameters()}
        rows = self._connection.execute(query("load_unjudged_events"), where).fetchall()
        if len(rows) > _MOST_UNJUDGED:
            raise StumbleError(
                f"The store has more than {_MOST_UNJUDGED:,} events whose records cannot be read here, so it cannot be "
                f"judged (the first one: {rows[0][1].rstrip('.')}). {READING_REMEDY}"
            )
        report.leave_unjudged(UNJUDGED_EVENTS, len(rows), rows[0][1] if rows else None)
        return frozenset(row[0] for row in rows)

    def _counts(self) -> tuple[int, int]:
        """Return the number of records, and how many of them are dead letters."""
        row = self._connection.execute(query("count_audit_unreadable")).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    def _mark_dead_letters(self, wanted: int) -> int:
        """Mark records that have a dead letter; return since when (milliseconds) the topic holds every dead letter."""
        done = 0
        with DeadLetterTopic(self._kafka, group=_GROUP) as topic:
            cut = {partition: low for partition, (low, _) in topic.bounds.items() if low > 0}
            reaches_ms = _EVER_MS if any(topic.bounds[partition][1] == low for partition, low in cut.items()) else 0
            for dead_letters in topic.chunks():
                first = dead_letters[0]
                if first.record_id.offset == cut.get(first.record_id.partition):
                    reaches_ms = max(reaches_ms, first.at)
                wanted -= self._mark(dead_letters)
                done += len(dead_letters)
                self._on_progress("dead letters", done, len(topic))
                if not wanted:
                    break
        return reaches_ms

    def _mark(self, dead_letters: Sequence[DeadLetter]) -> int:
        origins = [one.origin for one in dead_letters if one.origin and one.origin.topic == self._kafka.topics.actions]
        where = {
            "partitions": [one.partition for one in origins],
            "offsets": [one.offset for one in origins],
            "times": [one.timestamp for one in origins],  # a topic that was created again has other records there
        }
        return self._connection.execute(query("mark_audit_dead_letters"), where).rowcount


def row_of(item: BadRecord) -> dict[str, Any]:
    """Return the row of `audit_unreadable` for a record that can't be read."""
    return {
        "kafka_partition": item.partition,
        "kafka_offset": item.offset,
        "written_ms": item.record.timestamp()[1],
        "reason": text.clean_text(str(item.error)[:_REASON_CHARACTERS]),
        "unsigned": item.error.is_unsigned,
        "depends_on_reader": item.error.depends_on_reader,
    }
