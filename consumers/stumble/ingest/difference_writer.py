"""Writing a difference: net rows, counters per partition, publications with their next revision."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from stumble.ingest import factsets
from stumble.ingest.errors import MissedVersionError
from stumble.ingest.payload import failure_payload, outcome_payload
from stumble.ingest.rows import failure_row, request_json
from stumble.outcome.diff import CURRENT, OPEN, Publication
from stumble.outcome.records import FailureRecord, RequestRecord
from stumble.store.json_rows import as_array, as_json
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Cursor

    from stumble.ingest.fold import Folded, FoldedChange

#: (Kafka partition, metric, labels)
Counts = Counter[tuple[int, str, tuple[str, ...]]]
#: Suffix of the counter that counts departures.
WITHDRAWN = "_withdrawn"


def write(cursor: Cursor[Any], folded: Folded, more: Counts) -> None:
    """Write all that a fold came to, and `more` counts; raises `MissedVersionError` when other hands wrote a row."""
    factsets.save(cursor, folded.loaded.sets.values())
    _write_failures(cursor, folded.changes)
    _write_requests(cursor, folded.changes)
    _count(cursor, folded.changes, more)
    _publish(cursor, folded.changes)


def _write_requests(cursor: Cursor[Any], changes: Sequence[FoldedChange]) -> None:
    gone = [key for change in changes for key in change.difference.delete_requests]
    if gone:
        cursor.execute(query("delete_requests"), {"keys": gone})
    rows = [
        request_json(
            change.difference.contents[record.request_key],
            len(record.failures),
            change.versions[record.request_id or ""],
            change.partition,
        )
        for change in changes
        for record in change.difference.upsert_requests
    ]
    if rows:
        cursor.execute(query("save_requests"), {"rows": as_array(rows)})
        if cursor.rowcount != len(rows):
            raise MissedVersionError(f"{len(rows) - cursor.rowcount} requests were written by other hands.")


def _write_failures(cursor: Cursor[Any], changes: Sequence[FoldedChange]) -> None:
    gone = [key for change in changes for key in change.difference.delete_failures]
    rows = [
        failure_row(request, failure, change.partition)
        for change in changes
        for request, failure in change.difference.upsert_failures
    ]
    if not gone and not rows:
        return
    if gone:
        cursor.execute(query("delete_failures"), {"ids": gone})
    if rows:
        cursor.execute(query("save_failures"), {"rows": as_json(rows)})


def _count(cursor: Cursor[Any], changes: Sequence[FoldedChange], more: Counts) -> None:
    net: dict[tuple[int, tuple[str, ...]], tuple[int, int]] = {}
    for change in changes:
        for counter, (entered, left) in change.difference.counter_deltas.items():
            before = net.get((change.partition, counter), (0, 0))
            net[change.partition, counter] = before[0] + entered, before[1] + left
    moved: Counts = Counter(more)
    for (partition, (metric, *labels)), (entered, left) in net.items():
        if metric == OPEN:
            moved[partition, metric, tuple(labels)] += entered - left
        else:
            moved[partition, metric, tuple(labels)] += entered
            moved[partition, metric + WITHDRAWN, tuple(labels)] += left
    rows = [
        {"kafka_partition": partition, "metric": metric, "labels": labels, "value": value}
        for (partition, metric, labels), value in sorted(moved.items())
        if value
    ]
    if rows:
        cursor.execute(query("add_counters"), {"rows": as_json(rows)})


def _publish(cursor: Cursor[Any], changes: Sequence[FoldedChange]) -> None:
    rows: list[dict[str, Any]] = []
    for change in changes:
        rows.extend(
            _publication_row(publication, change, len(rows) + place)
            for place, publication in enumerate(change.difference.publications)
        )
    if rows:
        cursor.execute(query("add_publications"), {"rows": as_json(rows)})


def _publication_row(publication: Publication, change: FoldedChange, ordinal: int) -> dict[str, Any]:
    payload = _payload(publication)
    return {
        "ordinal": ordinal,
        "kind": publication.kind,
        "subject_id": publication.subject_id,
        "request_key": publication.request_key,
        "instance_uuid": change.instance,
        "status": publication.status,
        "replaced_by": publication.replaced_by,
        "digest": _digest(publication.status, publication.replaced_by, payload),
        "payload": payload,
        "kafka_partition": change.partition,
    }


def publication_digest(request: RequestRecord, record: RequestRecord | FailureRecord) -> str:
    """Return the digest of what stands published of a request's outcome or of one of its failures."""
    payload = outcome_payload(record) if isinstance(record, RequestRecord) else failure_payload(request, record)
    return _digest(CURRENT, None, payload)


def _digest(status: str, replaced_by: str | None, payload: dict[str, Any] | None) -> str:
    return blake2b(orjson.dumps([status, replaced_by, payload]), digest_size=16).hexdigest()


def _payload(publication: Publication) -> dict[str, Any] | None:
    record = publication.record
    if isinstance(record, RequestRecord):
        return outcome_payload(record)
    if isinstance(record, FailureRecord) and publication.request is not None:
        return failure_payload(publication.request, record)
    return None
