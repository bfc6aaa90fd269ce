"""Writes differences: rows, the sum of counter changes per partition, publications with their next revision."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from stumble.ingest import factsets
from stumble.ingest.payload import failure_payload, outcome_payload
from stumble.ingest.rows import failure_row, request_json
from stumble.ingest.statements import WriteStatement, execute_statements
from stumble.outcome.diff import CURRENT, OPEN, Publication
from stumble.outcome.records import FailureRecord, RequestRecord
from stumble.store.json_rows import as_array, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Cursor

    from stumble.ingest.fold import Folded, FoldedChange

#: (Kafka partition, metric, labels)
Counts = Counter[tuple[int, str, tuple[str, ...]]]
#: Suffix of the counter of withdrawn requests and failures.
WITHDRAWN = "_withdrawn"


def write_difference(cursor: Cursor[Any], folded: Folded, more: Counts) -> None:
    """Write what a fold changes, and `more` counts; raises `MissedVersionError` when another writer changed a row."""
    execute_statements(cursor, statements_of(folded, more))


def statements_of(folded: Folded, more: Counts) -> Iterator[WriteStatement]:
    """Yield the statements that write what a fold changes, and `more` counts."""
    yield from factsets.save_statements(folded.loaded.sets.values())
    yield from _failure_statements(folded.changes)
    yield from _request_statements(folded.changes)
    yield from _counter_statements(folded.changes, more)
    yield from _publication_statements(folded.changes)


def _failure_statements(changes: Sequence[FoldedChange]) -> Iterator[WriteStatement]:
    if ids := [key for change in changes for key in change.difference.delete_failures]:
        yield WriteStatement("delete_failures", {"ids": ids})
    rows = [
        failure_row(request, failure, change.partition)
        for change in changes
        for request, failure in change.difference.upsert_failures
    ]
    if rows:
        yield WriteStatement("save_failures", {"rows": as_json(rows)})


def _request_statements(changes: Sequence[FoldedChange]) -> Iterator[WriteStatement]:
    if keys := [key for change in changes for key in change.difference.delete_requests]:
        yield WriteStatement("delete_requests", {"keys": keys})
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
        yield WriteStatement("save_requests", {"rows": as_array(rows)}, len(rows), "requests")


def _counter_statements(changes: Sequence[FoldedChange], more: Counts) -> Iterator[WriteStatement]:
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
        yield WriteStatement("add_counters", {"rows": as_json(rows)})


def _publication_statements(changes: Sequence[FoldedChange]) -> Iterator[WriteStatement]:
    rows: list[dict[str, Any]] = []
    for change in changes:
        rows.extend(
            _publication_row(publication, change, len(rows) + number)
            for number, publication in enumerate(change.difference.publications)
        )
    if rows:
        yield WriteStatement("add_publications", {"rows": as_json(rows)})


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
    """Return the digest of the current publication of a request's outcome or of one of its failures."""
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
