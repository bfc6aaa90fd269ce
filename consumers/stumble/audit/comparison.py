"""Compares what is derived from the topic for some instances with what is stored of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stumble.audit.expected import derive_groups
from stumble.audit.instance_chunks import chunk_of, decisions_of
from stumble.audit.report import ChunkResult
from stumble.ingest.difference_writer import publication_digest
from stumble.ingest.rows import failure_row, request_json
from stumble.outcome.diff import unpack_stored
from stumble.outcome.facts import pack_facts, unpack_facts
from stumble.outcome.records import IN_PROGRESS
from stumble.store.json_rows import as_array, as_json
from stumble.store.partitions import id_time_us
from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from psycopg import Connection

    from stumble.audit.expected import DerivedGroup, Facts, InstanceChunk
    from stumble.audit.instance_chunks import InstanceRows
    from stumble.audit.offset_range import OffsetRange
    from stumble.ingest.factsets import SetKey
    from stumble.outcome.diff import StoredRequest

OUTSIDE_RANGE = "requests with events outside the range"
OLDER_THAN_RETENTION = "requests with events older than the retention time"
_DIGEST_DIFFERS = "stored digest differs from the derived one; future corrections would be computed wrongly"
BEFORE_TOPIC_BREAK = "requests with events from before the topic was truncated or recreated"
UNREADABLE = "requests with events whose records cannot be read"
EXPIRED = "requests older than the retention time"


@dataclass(slots=True)
class StoredSet:
    """A fact set as it is stored."""

    packed: bytes
    stored: tuple[StoredRequest, ...]
    has_context: bool


@dataclass(slots=True)
class Horizon:
    """The oldest times within the store's retention, UTC microseconds."""

    events_us: int
    requests_us: int


@dataclass(slots=True)
class ComparedSets:
    """A chunk with the facts of its sets (the topic's; the stored ones of sets left out), and the stored sets."""

    chunk: InstanceChunk
    sets: dict[SetKey, Facts]
    stored: dict[SetKey, StoredSet]
    left_out: set[SetKey] = field(default_factory=set)
    differing: list[tuple[str, SetKey, str]] = field(default_factory=list)


class SetComparison:
    """Compares chunks in one session, which reads one snapshot of the store.

    `unjudged` are the ids of stored events whose records can't be read.
    """

    def __init__(
        self, connection: Connection[Any], span: OffsetRange, horizon: Horizon, unjudged: frozenset[str]
    ) -> None:
        self._connection = connection
        self._span = span
        self._horizon = horizon
        self._unjudged = unjudged
        self._result = ChunkResult()

    def compare(self, rows: InstanceRows) -> ChunkResult:
        """Compare some instances; return what differs and what was left out."""
        chunk = chunk_of(rows.instances, rows.rows)
        result = self._result = ChunkResult(len(chunk.instances))
        compared = self.classify_sets(chunk)
        decisions = decisions_of(self._connection, chunk.instances)
        result.decisions.update(decision.kind for made in decisions.values() for decision in made)
        context = [key for key, stored in compared.stored.items() if stored.has_context]
        groups = derive_groups(compared.sets, decisions, context)
        differences: list[tuple[str, ...]] = [
            (kind, "facts", f"{key[0]}/{key[1]}", *key, detail) for kind, key, detail in compared.differing
        ]
        differences += self._digests(compared, groups)
        differences += self._rows(compared, groups)
        names = ("kind", "what", "id", "instance_uuid", "request_id", "detail")
        result.differences = [dict(zip(names, row, strict=True)) for row in differences]
        return result

    def classify_sets(self, chunk: InstanceChunk) -> ComparedSets:
        """Separate sets within the range and both retentions from others, of which the stored facts are used."""
        compared = ComparedSets(chunk, dict(chunk.sets), self._stored(chunk.instances))
        differing = {}
        for key in compared.stored.keys() | chunk.sets.keys():
            stored_set, expected = compared.stored.get(key), chunk.sets.get(key)
            if stored_set is None:
                self._unstored(compared, key, expected or ())
            elif expected is None or pack_facts(expected) != stored_set.packed:
                facts = unpack_facts(stored_set.packed)
                if facts != (expected or ()):  # a set may have lost its only fact; older facts may be packed otherwise
                    differing[key] = facts
        if differing:
            self._classify_differing(compared, differing)
        return compared

    def _unstored(self, compared: ComparedSets, key: SetKey, expected: Facts) -> None:
        if expected and max(fact.at for fact in expected) < self._horizon.requests_us:
            compared.left_out.add(key)
            del compared.sets[key]
            self._result.left_out[EXPIRED] += 1
        else:
            compared.differing.append(("missing", key, f"{len(expected)} facts are not in the store"))

    def _classify_differing(self, compared: ComparedSets, differing: Mapping[SetKey, Facts]) -> None:
        """Separate sets that differ from sets that the range or the retention cuts."""
        expected = {key: {fact.event_id: fact for fact in compared.chunk.sets.get(key, ())} for key in differing}
        more = [
            fact.event_id
            for key, stored_set in differing.items()
            for fact in stored_set
            if fact.event_id not in expected[key]
        ]
        positions = {}
        if more:
            rows = self._connection.execute(query("load_event_positions"), {"ids": more})
            positions = {event_id: (partition, offset) for event_id, partition, offset in rows}
        for key, stored_set in differing.items():
            why = self._why_left_out([f.event_id for f in stored_set if f.event_id not in expected[key]], positions)
            if why:
                compared.left_out.add(key)
                compared.sets[key] = stored_set
                self._result.left_out[why] += 1
                continue
            have = {fact.event_id: fact for fact in stored_set}
            kind = "different" if expected[key] else "extra"
            compared.differing.append((kind, key, _describe_difference(expected[key], have)))

    def _why_left_out(self, more: Iterable[str], positions: Mapping[str, tuple[int, int]]) -> str | None:
        why = None
        for event_id in more:
            position = positions.get(event_id)
            if event_id in self._unjudged:
                return UNREADABLE
            if position is None:
                if id_time_us(event_id) < self._horizon.events_us:
                    why = OLDER_THAN_RETENTION
            elif not self._span.holds(*position):
                return OUTSIDE_RANGE
            elif self._span.is_older(position[0], id_time_us(event_id)):
                return BEFORE_TOPIC_BREAK
        return why

    def _stored(self, instances: list[str]) -> dict[SetKey, StoredSet]:
        rows = self._connection.execute(query("load_stored_fact_sets"), {"instances": instances}, binary=True)
        return {
            (instance, request_id): StoredSet(facts, unpack_stored(stored), has_context)
            for instance, request_id, facts, stored, has_context in rows
        }

    def _digests(self, compared: ComparedSets, groups: Iterable[DerivedGroup]) -> list[tuple[str, ...]]:
        """Compare the stored digests, which later differences are computed against."""
        have: dict[SetKey, set[StoredRequest]] = defaultdict(set)
        for key, stored_set in compared.stored.items():
            have[key] = {one._replace(announced="") for one in stored_set.stored if one.outcome}
        wanted: dict[SetKey, set[StoredRequest]] = defaultdict(set)
        for group in groups:
            for one in group.difference.stored:
                key = (group.instance, one.request_id or "")
                wanted[key].add(one._replace(announced=""))
        return [
            (
                "different",
                "digest",
                f"{key[0]}/{key[1]}",
                *key,
                _DIGEST_DIFFERS,
            )
            for key in compared.stored.keys() - compared.left_out
            if have[key] != wanted[key]
        ]

    def _rows(self, compared: ComparedSets, groups: Iterable[DerivedGroup]) -> list[tuple[str, ...]]:
        """Compare stored requests, failures and current publications with the derived ones, in the database."""
        requests, failures, publications = [], [], []
        for group in groups:
            partition = compared.chunk.partition_of(group.instance)
            difference = group.difference
            for record in difference.upsert_requests:
                if (record.instance_uuid, record.request_id or "") in compared.left_out:
                    continue
                content = difference.contents[record.request_key]
                requests.append(request_json(content, len(record.failures), 0, partition))
                publications.append(_published(record, record, must=record.outcome != IN_PROGRESS))
            for request, failure in difference.upsert_failures:
                if (request.instance_uuid, request.request_id or "") not in compared.left_out:
                    failures.append(failure_row(request, failure, partition))
                    publications.append(_published(request, failure, must=True))
        self._result.requests += len(requests)
        self._result.failures += len(failures)
        where = {
            "instances": compared.chunk.instances,
            "left_out": [f"{instance}/{request_id}" for instance, request_id in compared.left_out],
        }
        result = [
            *self._compare("request", "compare_requests", as_array(requests), where),
            *self._compare("failure", "compare_failures", as_json(failures), where),
        ]
        if publications:
            result += self._compare("publication", "compare_publications", as_json(publications), {})
        return result

    def _compare(self, what: str, statement: str, rows: str, where: Mapping[str, Any]) -> list[tuple[str, ...]]:
        stored_rows = self._connection.execute(query(statement), {"rows": rows, **where}).fetchall()
        return [(kind, what, *rest) for kind, *rest in stored_rows]


def _published(request: Any, record: Any, *, must: bool) -> dict[str, Any]:
    subject = record.request_key if record is request else record.failure_id
    return {
        "subject_id": subject,
        "instance_uuid": request.instance_uuid,
        "request_id": request.request_id or "",
        "digest": publication_digest(request, record),
        "must": must,
    }


def _describe_difference(expected: Mapping[str, Any], have: Mapping[str, Any]) -> str:
    missing, extra = len(expected.keys() - have.keys()), len(have.keys() - expected.keys())
    changed = sum(have[key] != expected[key] for key in expected.keys() & have.keys())
    return f"{missing} facts missing, {extra} extra, {changed} changed"


__all__ = ["EXPIRED", "OLDER_THAN_RETENTION", "OUTSIDE_RANGE", "ComparedSets", "Horizon", "SetComparison", "StoredSet"]
