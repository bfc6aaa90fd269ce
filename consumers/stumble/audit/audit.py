"""The audit: reads the topic once, derives what the store must hold, and compares it with what the store holds.

Everything is compared within one snapshot of the store, up to the offset at which the store was then; projectors may
run meanwhile.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import IsolationLevel

from stumble.audit.comparison import Horizon
from stumble.audit.counters import differing_counters
from stumble.audit.instance_chunks import read_instance_chunks
from stumble.audit.offset_range import OffsetRange, range_of
from stumble.audit.published import PublishedRecords
from stumble.audit.read_job import ReadJob, read_rows
from stumble.audit.report import AuditReport
from stumble.audit.snapshot import Snapshot, open_session
from stumble.audit.stage import StagingTables
from stumble.audit.topic import DecodingJob
from stumble.audit.unreadable import UnreadableRecords
from stumble.audit.workers import Workers, processes_for
from stumble.runtime.gc_pause import gc_paused, limit_malloc_arenas
from stumble.store.json_rows import as_json
from stumble.store.partitions import DAY_MS, first_id
from stumble.store.queries import query
from stumble.store.version import require_current
from stumble.wire.codec import frame_single_object
from stumble.wire.errors import StumbleError
from stumble.wire.schemas import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from stumble.projector.settings import ProjectorSettings
    from stumble.settings.base import Settings

_DAY_US = DAY_MS * 1000
_LATE_EVENTS = "events that came too late"
_UNSIGNED = "records without a valid signature"
_OTHER_SCHEMA = "events whose stored bytes have the schema of another release"
#: How far an event's own time may differ from Kafka's time of its record.
_SLACK_DAYS = 1
_CATCH_UP_PAUSE = 0.5


@dataclass(slots=True, frozen=True)
class AuditScope:
    """What to audit: the whole topic, a range of it by Kafka's time, or one instance."""

    since: datetime | None = None
    until: datetime | None = None
    instance: str | None = None

    @property
    def everything(self) -> bool:
        """Whether the whole topic is audited."""
        return self.since is None and self.until is None and self.instance is None


class Audit:
    """One audit in one session: call `run`, then read `differences`; call `close` in any case.

    `processes` share the work; None: as many as are worthwhile.
    """

    def __init__(
        self,
        settings: Settings,
        own: ProjectorSettings,
        scope: AuditScope,
        *,
        patience: float = 60.0,
        processes: int | None = None,
        on_progress: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self.kafka = settings.kafka
        self.url = settings.database_url.get_secret_value()
        self.topic = settings.kafka.topics.actions
        self.own = own
        self.scope = scope
        self._patience = patience
        self.on_progress = on_progress
        require_current(self.url)
        self.connection = open_session(self.url, "stumble-audit")
        self.stage = StagingTables(self.connection)
        self.decoding = DecodingJob(settings.kafka)
        self._unreadable = UnreadableRecords(self.connection, settings.kafka, on_progress)
        self._published = PublishedRecords(self.connection, settings.kafka, on_progress)
        self.span: OffsetRange = range_of(settings.kafka, self.topic, scope.since, scope.until)
        self.span.breaks = dict(self.connection.execute(query("load_topic_breaks"), {"topic": self.topic}).fetchall())
        self.report = _report(self.topic, scope)
        self._processes = processes
        self._workers: Workers | None = None
        self._unsigned = 0
        self._unverified = self._empties = False
        now = time.time_ns() // 1000
        self.horizon = Horizon(now - (own.events_days - 1) * _DAY_US, now - own.requests_days * _DAY_US)

    def run(self) -> AuditReport:
        """Compare; raises `StumbleError` when the store can't be compared with this topic at all."""
        began = time.monotonic()
        limit_malloc_arenas()
        self._workers = Workers(processes_for(len(self.span), self._processes))
        self.stage.create()
        with gc_paused():
            if self.scope.everything:
                self._published.read()
            self._read(self.span)
            if self._empties:
                self._empty()
            self._wait_for_store()
            self._compare_snapshot()
        self.report.records = self.stage.records
        self.report.seconds = time.monotonic() - began
        return self.report

    def compare_again(self, repaired: Mapping[str, int]) -> AuditReport:
        """Compare the repaired store (`repaired` counts the changes) with what was read; return a new report."""
        self.connection.execute(query("clear_audit_results"))
        result = _report(self.topic, self.scope)
        result.records, result.seconds = self.stage.records, self.report.seconds
        result.repaired = dict(repaired)
        self.report = result
        self._compare_snapshot()
        return result

    def empty_first(self, *, accept_loss: bool) -> None:
        """Let `run` empty the derived tables before it compares, if it can read all that they hold.

        Raises `StumbleError` if the topic lost its first records, unless `accept_loss`.
        """
        incomplete = sorted({p for p, low in self.span.lows.items() if low > 0} | self.span.breaks.keys())
        if incomplete and not accept_loss:
            raise StumbleError(
                f"{self.topic} no longer holds its first records (partitions {', '.join(map(str, incomplete))}): what "
                "was derived from them would be lost. Omit --from-nothing, or accept the loss with --accept-loss."
            )
        self._empties = True

    def _empty(self) -> None:
        report = _report(self.topic, self.scope)
        report.unverified = self._unverified
        with self.connection.transaction():
            order = {"topic": self.topic, "partitions": sorted(self.span.ends)}
            self.connection.execute(query("lock_partitions"), order)
            self._unreadable.unjudged_events(self.span, report)
            self._unreadable.account_for(report)
            report.require_judged()
            self.connection.execute(query("clear_audit_results"))
            self.connection.execute(query("truncate_derived_tables"))

    def _compare_snapshot(self) -> None:
        """Compare the store as it is now with all that was read from the topic."""
        with self.snapshot():
            self._catch_up()
            self._compare()
        for kind, what, count in self.connection.execute(query("count_audit_differences")):
            self.report.add_difference(kind, what, count)

    def differences(self, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the differences, in the order in which they were found."""
        names = ("kind", "what", "id", "instance_uuid", "request_id", "detail", "kafka_partition", "kafka_offset")
        after, left = 0, limit
        while left is None or left > 0:
            page = 1000 if left is None else min(left, 1000)
            rows = self.connection.execute(query("load_audit_differences"), {"after": after, "limit": page})
            stored_rows = rows.fetchall()
            yield from (dict(zip(names, row[:-1], strict=True)) for row in stored_rows)
            if len(stored_rows) < page:
                return
            after, left = stored_rows[-1][-1], None if left is None else left - page

    def close(self) -> None:
        """End the workers and the session, and with it the temporary tables."""
        if self._workers is not None:
            self._workers.close()
        self.connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Run the body in one transaction that sees one snapshot of the store."""
        self.connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        try:
            with self.connection.transaction():
                yield
        finally:
            self.connection.set_isolation_level(None)

    def _read(self, span: OffsetRange) -> None:
        if self.scope.instance is None:
            self._stage(span, None)
            return
        instance = self.scope.instance
        self._stage(span, {instance.encode(), instance.upper().encode()})
        rows = self.connection.execute("select distinct request_id from audit_staged where request_id <> ''")
        if keys := {row[0].encode() for row in rows}:
            self._stage(span, keys)

    def _stage(self, span: OffsetRange, keys: Collection[bytes] | None) -> None:
        size, done = len(span), 0
        # Events before this time may be in the store's late_events; then each is removed again.
        job = ReadJob(self.kafka, span, keys, alone_before=self.horizon.requests_us + _DAY_US)
        assert self._workers is not None, "run() starts the workers"
        for rows in self._workers.stream(read_rows, job.shared(self._workers.processes)):
            self.stage.add(rows.staged, rows.events_read)
            self._unreadable.add(rows.unreadable)
            self._unsigned += rows.unsigned
            self._unverified |= rows.unverified
            done += rows.read
            self.on_progress("read", done, size)

    def _offsets(self) -> dict[int, int]:
        rows = self.connection.execute(query("load_all_offsets"), {"topic": self.topic}).fetchall()
        wanted_partitions = self.span.ends  # a topic that was created again may have fewer partitions
        if any(topic_id != self.span.topic_id for partition, topic_id, _ in rows if partition in wanted_partitions):
            raise StumbleError(
                f"The store was built from another topic {self.topic}: the topic was deleted and created again. "
                "`stumble offsets show` shows what was lost, `stumble offsets resume` continues."
            )
        for (partition,) in self.connection.execute(query("load_truncated_partitions"), {"topic": self.topic}):
            raise _truncated(self.topic, partition)
        known = {partition: offset for partition, _, offset in rows}
        return {partition: known.get(partition, 0) for partition in self.span.ends}

    def _wait_for_store(self) -> None:
        """Wait, not longer than the patience, until projectors have stored what the topic held when the audit began."""
        deadline = time.monotonic() + self._patience
        while any(offset < self.span.ends[partition] for partition, offset in self._offsets().items()):
            if time.monotonic() > deadline:
                return
            time.sleep(_CATCH_UP_PAUSE)

    def _catch_up(self) -> None:
        """Read what the store has read since, and leave out what it has not read yet."""
        offsets = self._offsets()
        if self.scope.until is None and (rest := self.span.rest(offsets)):
            ends = range_of(self.kafka, self.topic).ends
            for partition, offset in offsets.items():
                if offset > ends[partition]:
                    raise _truncated(self.topic, partition)
            self._read(rest)
            self.span.ends = rest.ends
        behind = {p: offset for p, offset in offsets.items() if offset < self.span.ends[p]}
        if not behind:
            return
        rows = [_late(p, max(offset, self.span.starts[p]), self.span.ends[p]) for p, offset in behind.items()]
        self._remove_from(behind)
        self.connection.execute(query("add_audit_differences"), {"rows": as_json(rows)})
        for partition, offset in behind.items():
            self.span.ends[partition] = max(offset, self.span.starts[partition])

    def _remove_from(self, offsets: dict[int, int]) -> None:
        """Remove staged rows from some offsets on; rows with facts from both sides of one are read again up to it."""
        parameters = {"partitions": list(offsets), "offsets": list(offsets.values())}
        across = dict(self.connection.execute(query("load_straddling_offsets"), parameters).fetchall())
        starts = {partition: across.get(partition, offset) for partition, offset in offsets.items()}
        self.connection.execute(
            query("delete_audit_staged_from"), {"partitions": list(starts), "offsets": list(starts.values())}
        )
        if across:
            span, counted, unsigned = self.span, self.stage.records, self._unsigned
            ends = {partition: offsets[partition] for partition in across}
            self._read(OffsetRange(span.topic, span.topic_id, across, ends, span.lows, span.breaks))
            self.stage.records, self._unsigned = counted, unsigned

    def _compare(self) -> None:
        own = self.own
        execute = self.connection.execute
        execute(query("analyze_audit_staged"))
        late = execute(query("compare_late_events"), {"days": own.requests_days}).fetchone()
        self.report.leave_out(_LATE_EVENTS, late[0] if late else 0)
        self.report.leave_out(_UNSIGNED, self._unsigned)
        self.report.unverified = self._unverified
        execute(query("join_audit_sightings"))
        execute(query("compare_sightings"))
        self._choose_instances()
        self._events(self.horizon)
        self._unreadable.account_for(self.report)
        self._compare_instances(self._unreadable.unjudged_events(self.span, self.report))
        if self.scope.everything:
            if result := differing_counters(self.connection):
                execute(query("add_audit_differences"), {"rows": as_json(result)})
            execute(query("compare_extra_publications"), {"days": own.requests_days})
            self._published.compare(self.report, own.requests_days)
        for host, refused, rejected in execute(query("count_refused_events")):
            self.report.refused[host] = {"refused": refused, "rejected": rejected}

    def _compare_instances(self, unjudged: frozenset[str]) -> None:
        """Compare all instances in sessions that share this session's snapshot: one derives while another waits."""
        connection = self.connection
        snapshot = connection.execute("select pg_export_snapshot()").fetchone()
        total = connection.execute("select count(*) from audit_instances").fetchone()
        size, done = total[0] if total else 0, 0
        store = Snapshot(self.url, str(snapshot[0]) if snapshot else "", self.span, self.horizon, unjudged)
        assert self._workers is not None, "run() starts the workers"
        for rows, result in self._workers.map(store.compare, read_instance_chunks(connection)):
            self.report.add(result)
            if result.differences:
                connection.execute(query("add_audit_differences"), {"rows": as_json(result.differences)})
            done += len(rows.instances)
            self.on_progress("compared", done, size)

    def _choose_instances(self) -> None:
        execute, scope = self.connection.execute, self.scope
        if scope.instance is not None:
            execute(query("choose_instance"), {"instance": scope.instance})
        elif scope.everything:
            execute(query("choose_all_instances"))
        else:
            range_ = {"since": scope.since or "-infinity", "until": scope.until or "infinity"}
            execute(query("choose_instances_of_range"), range_)

    def _events(self, horizon: Horizon) -> None:
        oldest = first_id(horizon.events_us // _DAY_US)
        execute = self.connection.execute
        left = execute(query("count_expired_events"), {"oldest": oldest, "days": self.own.events_days - 1}).fetchone()
        self.report.leave_out("events older than the retention time", left[0] if left else 0)
        where = {"oldest": oldest, "days": self.own.events_days - 1, "frame": frame_single_object(EVENT, b"")}
        other = execute(query("compare_events"), where).fetchone()
        self.report.leave_out(_OTHER_SCHEMA, other[0] if other else 0)
        if self.scope.instance is not None:
            return
        low, high = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
        if self.scope.since:
            low = first_id(int(self.scope.since.timestamp() * 1000) // DAY_MS - _SLACK_DAYS)
        if self.scope.until:
            high = first_id(int(self.scope.until.timestamp() * 1000) // DAY_MS + 1 + _SLACK_DAYS)
        execute(query("compare_extra_events"), {"low": low, "high": high, **self.span.as_parameters()})


def _report(topic: str, scope: AuditScope) -> AuditReport:
    since, until = (at.isoformat() if at else None for at in (scope.since, scope.until))
    return AuditReport(topic, since, until, scope.instance)


def _truncated(topic: str, partition: int) -> StumbleError:
    return StumbleError(
        f"Partition {partition} of {topic} was truncated before the store's offset, so the store has records that the "
        "topic lacks: `stumble offsets show` shows what was lost, `stumble offsets resume` continues. Then run the "
        "audit again."
    )


def _late(partition: int, offset: int, end: int) -> dict[str, Any]:
    detail = f"the store has not read {end - offset} records from offset {offset} on"
    return {"kind": "late", "what": "partition", "id": str(partition), "detail": detail}


__all__ = ["Audit", "AuditScope"]
