"""Check the store: it answers, is new enough and migrated, and this user may use it; report whether TLS is on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import errors, sql

from stumble.checks.model import CheckContext, CheckResult, fine, warning, wrong
from stumble.store.connect import StoreUnavailableError, connect, database_label
from stumble.store.incarnation import read_incarnation
from stumble.store.rights import SCHEMAS, STANDBY, STANDBY_REMEDY, WRITTEN_TABLES
from stumble.store.version import find_fault, newest_version, read_version

__all__ = ["check_database"]

_OLDEST = 130000  # PostgreSQL 13: pg_current_xact_id
_SPARE_SESSIONS = 20
_HINTS = (
    ("does not exist", "create it (createdb), or correct STUMBLE_DATABASE_URL"),
    ("authentication failed", "correct user or password in STUMBLE_DATABASE_URL"),
    ("no password supplied", "set the password in STUMBLE_DATABASE_URL or in a file of STUMBLE_SECRETS_DIR"),
    ("pg_hba.conf", "allow this host in pg_hba.conf of the server, or connect with TLS (sslmode)"),
    ("certificate", "set sslrootcert to the authority that signed the server's certificate, and check sslmode"),
    ("SSL", "compare sslmode in STUMBLE_DATABASE_URL with what the server offers"),
    ("too many clients", "raise max_connections"),
    ("unsupported startup parameter", "remove `options` from STUMBLE_DATABASE_URL: the pooler does not accept it"),
    ("query_wait_timeout", "raise default_pool_size of the pooler: each session needs a connection of its own"),
    ("hot standby", "name the primary in STUMBLE_DATABASE_URL: every server that it names is a standby"),
)
#: Tables with a column that an insert may name.
_TABLES = """
select n.nspname, c.relname, (
    select a.attname from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a'
    order by a.attnum limit 1)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%s) and c.relkind in ('r', 'p') and (not c.relispartition or c.relname = 'events_default')
  and c.relname <> 'alembic_version'
order by 2
"""
#: They concern no row, but PostgreSQL checks the rights for them as for any others.
_READ = sql.SQL("select from {table} limit 0")
_WRITE = sql.SQL(
    "insert into {table} ({column}) select {column} from {table} where false;"
    " update {table} set {column} = {column} where false; delete from {table} where false"
)
#: Publications are read up to the oldest transaction that holds a partition's lock (load_publications_horizon).
_BLOCKING_TRANSACTIONS = """
select a.pid, a.datname, a.usename, extract(epoch from now() - min(p.created_at))::int
from pg_stat_activity a
join stumble_durable.publications p on age(p.xid::xid) < age(a.backend_xid)
where p.incarnation = (select max(number) from stumble_durable.store_incarnations)
  and p.created_at < now() - make_interval(secs => %s)
  and a.pid in (
      select l.pid from pg_locks l
      where l.granted and l.locktype = 'advisory' and l.objsubid = 2
        and l.database = (select oid from pg_database where datname = current_database()))
group by 1, 2, 3
"""
_BLOCKING_SECONDS = 60
#: A role that may not see a standby's state counts it as fitting.
_STANDBYS = """
select current_setting('synchronous_standby_names'), current_setting('synchronous_commit'),
       (select count(*) from pg_stat_replication where coalesce(sync_state, 'sync') in ('sync', 'quorum')),
       (select count(*) from pg_stat_activity
        where wait_event = 'SyncRep' and state_change < clock_timestamp() - interval '5 seconds')
"""
#: Readers whose position lies in the future of the server: its transaction ids began anew without a new incarnation.
_CURSORS_AHEAD = """
select name from stumble_durable.cursors
where incarnation = (select max(number) from stumble_durable.store_incarnations)
  and xid >= pg_snapshot_xmax(pg_current_snapshot())
order by name
"""


def check_database(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the server, the version of the store and the rights of this user."""
    name = database_label(scope.database)
    try:
        connection = connect(scope.database, application="stumble-check")
    except StoreUnavailableError as error:
        says = error.reason.removeprefix("connection failed: ")
        todo = next((todo for text, todo in _HINTS if text in says), "start it, or correct STUMBLE_DATABASE_URL")
        yield wrong(name, says if error.remedy else f"cannot connect: {says}", error.remedy or todo)
        return
    with connection:
        version = connection.info.server_version
        how = "TLS" if connection.pgconn.ssl_in_use else "no TLS"
        if version < _OLDEST:
            yield wrong(name, f"PostgreSQL {version // 10000} is too old", "upgrade it to 13 or later")
        else:
            encoding = connection.info.parameter_status("server_encoding")
            yield fine(name, f"PostgreSQL {version // 10000}, encoding {encoding}, {how}")
        yield from _server(connection, name)
        yield from _standbys(connection, name)
        yield from _store(connection, name)


def _server(connection: psycopg.Connection[Any], name: str) -> Iterator[CheckResult]:
    row = connection.execute(
        "select pg_is_in_recovery(), current_setting('default_transaction_read_only'), current_setting('fsync'),"
        " current_setting('synchronous_commit'),"
        " current_setting('max_connections')::int - (select count(*) from pg_stat_activity"
        " where backend_type = 'client backend')"
    ).fetchone()
    assert row is not None, "a select without a table gives a row"
    standby, read_only, fsync, synchronous, spare = row
    if standby:
        yield wrong(name, STANDBY, STANDBY_REMEDY)
    elif read_only == "on":
        says = "the database or the role is set to be read-only, as a store that `stumble replay` made is"
        yield warning(
            name, says, "name another database for projector and alerter, or reset default_transaction_read_only"
        )
    if fsync == "off":
        yield wrong(
            name, "fsync is off: a crash of its host can destroy the store", "set fsync = on in postgresql.conf"
        )
    if synchronous == "off":
        says = "synchronous_commit is off: the last transactions can be lost in a crash; stumble reads them again"
        yield warning(name, says, "do nothing, or set synchronous_commit = on")
    if spare < _SPARE_SESSIONS:
        yield warning(name, f"{spare} of max_connections are free", "raise max_connections")


def _standbys(connection: psycopg.Connection[Any], name: str) -> Iterator[CheckResult]:
    """Report commits that wait for a synchronous standby, and a server without the standby that its commits need."""
    row = connection.execute(_STANDBYS).fetchone()
    assert row is not None, "a select without a table gives a row"
    names, commit, fitting, waiting = row
    todo = "start the standby, or change synchronous_standby_names"
    if waiting:
        yield wrong(name, f"{waiting} commits wait for a synchronous standby", todo)
    elif names and commit not in ("off", "local") and not fitting:
        says = f"no standby of synchronous_standby_names ({names}) is connected, so every commit waits"
        yield wrong(name, says, todo)


def _store(connection: psycopg.Connection[Any], name: str) -> Iterator[CheckResult]:
    try:
        fault = find_fault(read_version(connection))
    except psycopg.errors.InsufficientPrivilege:
        todo = f"run `stumble store grant PROCESS {connection.info.user}` as the owner of the store"
        yield wrong(name, f"{connection.info.user} may not use the store", todo)
        return
    if fault is not None:
        yield wrong(name, f"the store {fault.problem}", fault.remedy)
        return
    yield _rights(connection, name)
    yield from _incarnation(connection, name)
    yield from _blocking_transactions(connection, name)


def _incarnation(connection: psycopg.Connection[Any], name: str) -> Iterator[CheckResult]:
    try:
        known = read_incarnation(connection)
        ahead = connection.execute(_CURSORS_AHEAD).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return  # `_rights` reports it
    todo = "run `stumble store migrate`, or start a projector"
    if known is None or not known.is_current:
        says = "the database was restored, or another server took over: the store has not begun a new incarnation yet"
        yield warning(name, says, todo)
    elif ahead:
        says = f"{', '.join(cursor for (cursor,) in ahead)} would deliver nothing: read ahead of all transactions"
        yield wrong(name, says, "stop all roles and run `stumble store migrate --restored`")
    else:
        yield fine(name, f"incarnation since {known.started_at:%Y-%m-%d %H:%M:%S} UTC: {known.reason}")


def _blocking_transactions(connection: psycopg.Connection[Any], name: str) -> Iterator[CheckResult]:
    try:
        rows = connection.execute(_BLOCKING_TRANSACTIONS, (_BLOCKING_SECONDS,)).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return  # `_rights` reports it
    for pid, database, user, seconds in rows:
        says = f"alerts have waited {seconds} s for a transaction of {user} in database {database} that does not end"
        yield wrong(name, says, f"end it in its client, or run: select pg_terminate_backend({pid})")


def _rights(connection: psycopg.Connection[Any], name: str) -> CheckResult:
    tables = connection.execute(_TABLES, (list(SCHEMAS),)).fetchall()
    unread = [table for schema, table, column in tables if not _may(connection, _READ, schema, table, column)]
    user = connection.info.user
    if unread:
        todo = f"run `stumble store grant PROCESS {user}` as the owner of the store"
        return wrong(name, f"{user} may not read {', '.join(unread)}", todo)
    unwritten = {table for schema, table, column in tables if not _may(connection, _WRITE, schema, table, column)}
    if len(unwritten) == len(tables):
        return warning(
            name,
            f"{user} may only read: enough for the auditor, and for an API that changes nothing",
            "run projector and alerter as a user that may write",
        )
    lacking = {process: sorted(tables & unwritten) for process, tables in WRITTEN_TABLES.items() if tables & unwritten}
    if not lacking:
        return fine(name, f"store at version {newest_version()}; {user} may read and write it")
    process, needed = next(iter(lacking.items()))
    says = f"the rights of {user} are not enough for the {process}: it may not write {', '.join(needed)}"
    enough = [process for process, written in WRITTEN_TABLES.items() if written and process not in lacking]
    todo = f"run `stumble store grant {process} {user}` as the owner of the store"
    if not enough:
        return wrong(name, says, todo)
    says = f"the rights of {user} are enough for {', '.join(enough)}, not for {', '.join(lacking)}"
    return warning(name, says, f"{todo}, or run the {process} as another user")


def _may(connection: psycopg.Connection[Any], statement: sql.SQL, schema: str, table: str, column: str) -> bool:
    """Return whether PostgreSQL permits a statement, by running it in a transaction that is rolled back."""
    names = {"table": sql.Identifier(schema, table), "column": sql.Identifier(column)}
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.format(**names))
    except errors.InsufficientPrivilege:
        return False
    except (errors.ReadOnlySqlTransaction, errors.LockNotAvailable):
        pass  # `_server` reports a standby; a lock is no matter of rights
    return True
