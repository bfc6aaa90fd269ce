"""How large the store is, table by table and index by index, and whether vacuum is fast enough."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stumble.store.partitions import id_time_us
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection

#: More dead rows than this share of a table show that vacuum is too slow.
_DEAD_SHARE = 0.2
_DEAD_ROWS = 10_000
#: What belongs to an event, a request, a failure: all that grows with their number.
_GROWS_WITH = {
    "event": ("events",),
    "request": ("requests", "fact_sets", "publications", "revisions"),
    "failure": ("failures",),
}


@dataclass(slots=True)
class TableSize:
    """One table; all partitions of `events` together. Bytes; `rows` is PostgreSQL's estimate unless counted."""

    schema: str
    name: str
    tables: int
    rows: int
    heap: int
    toast: int
    indexes: int
    dead: int
    updates: int
    hot_updates: int
    vacuumed: datetime | None

    @property
    def total(self) -> int:
        """All bytes."""
        return self.heap + self.toast + self.indexes


@dataclass(slots=True)
class IndexSize:
    """One index, or all of one kind over the partitions of `events`."""

    table: str
    name: str
    bytes: int
    scans: int


@dataclass(slots=True)
class StoreStats:
    """Statistics of the store."""

    database_bytes: int
    server: str
    tables: list[TableSize]
    indexes: list[IndexSize]
    #: Name, rows, bytes.
    partitions: list[tuple[str, int, int]]
    #: Table to oldest and newest.
    ages: dict[str, tuple[str | None, str | None]]
    hints: list[str] = field(default_factory=list)

    def per(self, what: str) -> float | None:
        """Return the bytes that an event, a request or a failure takes with all that grows with it."""
        names = _GROWS_WITH[what]
        rows = next((table.rows for table in self.tables if table.name == names[0]), 0)
        return sum(table.total for table in self.tables if table.name in names) / rows if rows else None

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        result = asdict(self)
        result["bytes_per"] = {what: self.per(what) for what in _GROWS_WITH}
        return result


def load_stats(connection: Connection[Any], *, exact: bool = False) -> StoreStats:
    """Return statistics of the store; with `exact` events, requests and failures are counted, which reads them all."""
    execute = connection.execute
    tables = [TableSize(*row) for row in execute(query("load_table_stats"))]
    if exact:
        counted = execute(query("count_rows")).fetchone() or (0, 0, 0)
        for table in tables:
            if table.name in ("events", "requests", "failures"):
                table.rows = counted[("events", "requests", "failures").index(table.name)]
    size = execute(query("load_database_stats")).fetchone() or (0, "", "on")
    ages = {name: (oldest, newest) for name, oldest, newest in execute(query("load_oldest_and_newest"))}
    ages["events"] = tuple(_time(event_id) for event_id in ages["events"])  # type: ignore[assignment]
    result = StoreStats(
        size[0],
        size[1],
        tables,
        [IndexSize(*row) for row in execute(query("load_index_stats"))],
        [tuple(row) for row in execute(query("load_partition_stats"))],
        ages,
    )
    result.hints = _hints(result, autovacuum=size[2])
    return result


def _time(event_id: str | None) -> str | None:
    if event_id is None:
        return None
    try:
        return datetime.fromtimestamp(id_time_us(event_id) / 1e6, UTC).isoformat(" ", "seconds")
    except (ValueError, OverflowError):
        return None


def _hints(result: StoreStats, *, autovacuum: str) -> list[str]:
    hints = [
        f"{table.name}: {table.dead:,} dead rows beside {table.rows:,}: vacuum is too slow "
        "(long transactions, or too few autovacuum workers)"
        for table in result.tables
        if table.dead > _DEAD_ROWS and table.dead > _DEAD_SHARE * table.rows
    ]
    if autovacuum != "on":
        hints.append("autovacuum is off: the store grows without end; switch it on")
    if any(name == "events_default" and rows > _DEAD_ROWS for name, rows, _ in result.partitions):
        hints.append("events_default is large: ids of many events contain implausible times; check their hosts' clocks")
    return hints
