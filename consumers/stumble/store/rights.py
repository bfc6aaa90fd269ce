"""What each process may do in the store: the statements that grant it, and a sentence about a right that is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from psycopg import errors, sql

from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

Process = Literal["api", "alerter", "projector", "auditor"]

SCHEMAS = ("stumble_derived", "stumble_durable")
_WRITE = ("insert", "update", "delete")
#: The tables whose rows a process writes. Every process reads all tables; migrations and repairs need their owner.
#: The auditor is `stumble audit` without --repair, and whoever reads the store with SQL.
WRITTEN_TABLES: Mapping[Process, frozenset[str]] = {
    "api": frozenset(("deliveries", "problems", "redrive_counts", "subscriptions")),
    "alerter": frozenset(("alerts", "cursors", "deliveries", "leases", "problems", "subscriptions")),
    "projector": frozenset(
        (
            "bad_record_limits",
            "bridged_hosts",
            "counters",
            "decisions",
            "deliveries",
            "events",
            "events_default",
            "fact_sets",
            "failures",
            "late_events",
            "offsets",
            "partition_states",
            "producers",
            "publications",
            "requests",
            "revisions",
            "sightings",
            "store_incarnations",
            "topic_breaks",
        )
    ),
    "auditor": frozenset(),
}
_TABLE = re.compile(r"for table (\w+)")
#: What a session reports that was opened on a server which follows another one.
STANDBY = "this is a standby, which accepts no writes"
STANDBY_REMEDY = "name the primary in STUMBLE_DATABASE_URL, or all servers (host1,host2): then the primary is used"


def is_owner(connection: Connection[Any]) -> bool:
    """Return whether this session's role owns the store, or is a member of the role that does."""
    row = connection.execute(query("check_ownership")).fetchone()
    return bool(row and row[0])


def grant_statements(process: Process, role: str) -> Iterator[sql.Composed]:
    """Yield the statements with which the store's owner grants a role what a process needs."""
    names = {
        "role": sql.Identifier(role),
        "schemas": sql.SQL(", ").join(map(sql.Identifier, SCHEMAS)),
        "tables": sql.SQL(", ").join(map(sql.Identifier, sorted(WRITTEN_TABLES[process]))),
        "rights": sql.SQL(", ").join(map(sql.SQL, _WRITE)),
    }
    yield sql.SQL("grant usage on schema {schemas} to {role}").format(**names)
    yield sql.SQL("grant select on all tables in schema {schemas} to {role}").format(**names)
    if WRITTEN_TABLES[process]:
        yield sql.SQL("grant {rights} on {tables} to {role}").format(**names)


def describe_store_error(error: Exception, process: Process) -> str:
    """Return the first line of an error of the store; for a missing right or a standby, a sentence with what to do."""
    if isinstance(error, errors.ReadOnlySqlTransaction):
        cause = f"{STANDBY}, or it is set to be read-only, as a store that `stumble replay` made is"
        return f"The database does not accept writes: {cause}; {STANDBY_REMEDY}."
    if isinstance(error, errors.InsufficientPrivilege):
        return explain_missing_right(error, process)
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def explain_missing_right(error: errors.InsufficientPrivilege, process: Process) -> str:
    """Return a sentence about PostgreSQL's refusal: which right is missing, and the command that grants it."""
    refusal = error.diag.message_primary or str(error).strip()
    table = _TABLE.search(refusal)
    needed = ""
    if table:
        rights = ("select", *(_WRITE if table[1] in WRITTEN_TABLES[process] else ()))
        needed = f"; it needs {', '.join(rights)} on it"
    return (
        f"The role of STUMBLE_DATABASE_URL may not do in the store what the {process} does ({refusal}{needed}): as the "
        f"store's owner, run `stumble store grant {process} ROLE`."
    )
