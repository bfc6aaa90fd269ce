"""Builds a separate store as of any time, from the topic alone: to inspect the past, never to replace another store.

The projector works batch by batch; a replay derives each instance once, all in one transaction. A replay that is
killed leaves an empty store, and the next one starts from the beginning.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import conninfo, sql

from stumble.audit.instance_chunks import decisions_of, read_instance_chunks
from stumble.audit.offset_range import range_of
from stumble.audit.read_job import ReadJob, StagedRows, read_rows
from stumble.audit.replay_writer import DecidedRows, derive_statements
from stumble.audit.snapshot import open_session
from stumble.audit.stage import StagingTables
from stumble.audit.workers import Workers, processes_for
from stumble.ingest.statements import execute_statements
from stumble.runtime.gc_pause import gc_paused, limit_malloc_arenas
from stumble.store.adapters import UuidArray
from stumble.store.connect import StoreUnavailableError, connect, database_label
from stumble.store.copying import copy_rows, uuid_array
from stumble.store.json_rows import as_json
from stumble.store.migrate import migrate
from stumble.store.partitions import EventPartitions
from stumble.store.queries import query
from stumble.store.version import current_version
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from psycopg import Connection

    from stumble.audit.instance_chunks import InstanceRows
    from stumble.settings.base import Settings

#: Events of any age get their partition.
_FOR_EVER_DAYS = 36_500
_DECISIONS_PER_FETCH = 5000


@dataclass(slots=True)
class Replayed:
    """The result of a replay."""

    url: str
    records: int = 0
    events: int = 0
    unreadable: int = 0
    #: Records without a valid signature.
    unsigned: int = 0
    instances: int = 0
    decisions: int = 0
    seconds: float = 0.0


class Replay:
    """Builds a store from the records that Kafka received between two times.

    `processes` share the work; None: as many as are worthwhile.
    """

    def __init__(
        self,
        settings: Settings,
        since: datetime | None,
        until: datetime | None,
        on_progress: Callable[[str, int, int], None] = lambda *_: None,
        *,
        processes: int | None = None,
    ) -> None:
        self._settings = settings
        self._until = until
        self._on_progress = on_progress
        self._topic = settings.kafka.topics.actions
        self._span = range_of(settings.kafka, self._topic, since, until)
        self._processes = processes
        self._partitions = EventPartitions(_FOR_EVER_DAYS)
        self._done = Replayed("")

    def into(self, into_database: str, *, alerts: bool = False) -> Replayed:
        """Build the store in the database `into_database`: its URL, or a name beside the store's own.

        Unless `alerts`, the database is read-only afterwards, so that nothing is ever sent from it. Raises
        `StumbleError` when the database already holds a store.
        """
        began = time.monotonic()
        limit_malloc_arenas()
        self._done.url = url = database(self._settings.database_url.get_secret_value(), into_database)
        _require_empty(url)
        migrate(url)
        connection = open_session(url, "stumble-replay")
        try:
            with gc_paused(), Workers(processes_for(len(self._span), self._processes)) as workers:
                self._build(connection, workers)
            connection.execute(query("drop_audit_tables"))
            connection.execute("analyze")
            if not alerts:
                _protect(connection)
        finally:
            connection.close()
        self._done.seconds = time.monotonic() - began
        return self._done

    def _build(self, connection: Connection[Any], workers: Workers) -> None:
        stage = StagingTables(connection)
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(hashtext('stumble.replay'))")
            connection.execute(query("lock_partitions"), {"topic": self._topic, "partitions": sorted(self._span.ends)})
            _require_empty(self._done.url)
            self._copy_decisions(connection)
            stage.create()
            self._read(connection, stage, workers)
            self._derive(connection, workers)
            self._store_offsets(connection)
        self._done.records = stage.records

    def _read(self, connection: Connection[Any], stage: StagingTables, workers: Workers) -> None:
        size, done = len(self._span), 0
        job = ReadJob(self._settings.kafka, self._span, events=True)
        for rows in workers.stream(read_rows, job.shared(workers.processes)):
            self._done.unreadable += sum(not row["unsigned"] for row in rows.unreadable)
            self._done.unsigned += rows.unsigned
            self._insert(connection, stage, rows)
            done += rows.read
            self._on_progress("read", done, size)

    def _insert(self, connection: Connection[Any], stage: StagingTables, rows: StagedRows) -> None:
        self._partitions.ensure(connection, rows.days)
        stage.add(rows.staged, rows.events_read)
        unique = rows.events
        with connection.cursor() as cursor:
            known = cursor.execute(query("load_known_events"), {"ids": UuidArray(uuid_array(unique))})
            for (event_id,) in known.fetchall():
                del unique[event_id]
            copy_rows(cursor, "copy_events", list(unique.values()))
        self._done.events += len(unique)

    def _derive(self, connection: Connection[Any], workers: Workers) -> None:
        for statement in ("analyze_audit_staged", "join_audit_sightings", "choose_all_instances"):
            connection.execute(query(statement))
        connection.execute(query("repair_sightings"), {"patience": 0})
        row = connection.execute("select count(*) from audit_instances").fetchone()
        size = row[0] if row else 0
        decided = (self._with_decisions(connection, rows) for rows in read_instance_chunks(connection))
        with connection.cursor() as cursor:
            for item, statements in workers.map(derive_statements, decided):
                execute_statements(cursor, statements)
                self._done.instances += len(item.rows.instances)
                self._on_progress("derived", self._done.instances, size)

    def _with_decisions(self, connection: Connection[Any], rows: InstanceRows) -> DecidedRows:
        if not self._done.decisions:
            return DecidedRows(rows, {})
        return DecidedRows(rows, decisions_of(connection, rows.instances, self._until))

    def _copy_decisions(self, connection: Connection[Any]) -> None:
        """Copy the store's decisions up to the end of the replay; without a store there are none."""
        names = ("request_key", "kind", "decided_at", "evidence", "instance_uuid", "request_id", "kafka_partition")
        try:
            url = self._settings.database_url.get_secret_value()
            with (
                connect(url, application="stumble-replay") as store,
                store.transaction(),
                store.cursor("load_decisions_until") as cursor,
            ):
                cursor.execute(query("load_decisions_until"), {"until": self._until})
                while rows := cursor.fetchmany(_DECISIONS_PER_FETCH):
                    decisions = [dict(zip(names, row, strict=True)) for row in rows]
                    connection.execute(query("add_replayed_decisions"), {"rows": as_json(decisions)})
                    self._done.decisions += len(rows)
        except (StoreUnavailableError, psycopg.errors.UndefinedTable):
            return

    def _store_offsets(self, connection: Connection[Any]) -> None:
        order = sorted(self._span.ends)
        where = {
            "topic": self._topic,
            "topic_id": self._span.topic_id,
            "partitions": order,
            "offsets": [self._span.ends[partition] for partition in order],
        }
        connection.execute(query("create_offsets"), where)
        caught_up = {"ends": where["offsets"], "committed": where["offsets"]}
        connection.execute(query("note_catch_up_offsets"), where | caught_up)


def database(store: str, into_database: str) -> str:
    """Return the URL of the database `into_database`; for a name, create it beside the store's own."""
    if "://" in into_database or "=" in into_database:
        return into_database
    with connect(store) as connection:
        row = connection.execute(query("check_for_database"), {"name": into_database}).fetchone()
        if row is None or not row[0]:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(into_database)))
    if "://" in store:
        head, _, tail = store.partition("?")
        url = f"{head.rpartition('/')[0]}/{into_database}"
        return f"{url}?{tail}" if tail else url
    return conninfo.make_conninfo(store, dbname=into_database)


def _require_empty(url: str) -> None:
    if not current_version(url).has_tables:
        return
    with connect(url) as connection:
        row = connection.execute(query("check_for_data")).fetchone()
    if row is None or row[0]:
        raise StumbleError(f"The database {database_label(url)} already holds a store: name another, or drop it first.")


def _protect(connection: Connection[Any]) -> None:
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("alter database {} set default_transaction_read_only = on").format(name))
