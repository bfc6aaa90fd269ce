"""Partitions of `events`: one per day of event ids, created ahead; ids of no plausible day stay in the default one.

An id is a UUIDv7, whose first 48 bits are milliseconds: a day of ids is a range of ids. PostgreSQL attaches no
partition for a day while the default partition holds rows of it, so these rows are moved first. Two functions in the
database create and drop partitions as their owner, so that a projector's role needs to own no table.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.errors import LockNotAvailable

from stumble.store.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

DAY_MS = 86_400_000
#: Number of days after today whose partitions are created in advance.
DAYS_AHEAD = 2
#: How long creating or dropping a partition waits for readers, milliseconds: writers wait behind it.
PATIENCE_MS = 300
#: Seconds until a partition that could not be created is tried again.
RETRY_SECONDS = 60.0
_SHORT_LOCK_TIMEOUT = sql.SQL("set local lock_timeout = {}").format(sql.Literal(PATIENCE_MS))
_NAME = re.compile(r"^events_(\d{4})(\d{2})(\d{2})$")


def first_id(day: int) -> str:
    """Return the lowest id of a day, counted in days since 1970."""
    return first_id_at(day * DAY_MS)


def first_id_at(milliseconds: int) -> str:
    """Return the lowest id of a time, in milliseconds since 1970."""
    value = milliseconds << 80
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def day_of_id(event_id: bytes) -> int:
    """Return the day of a 16-byte id, in days since 1970; an id that is not a UUIDv7 gives an arbitrary number."""
    return int.from_bytes(event_id[:6], "big") // DAY_MS


def days_of_ids(event_ids: Iterable[bytes]) -> set[int]:
    """Return the days of 16-byte ids; checks only distinct first four bytes (about a minute), which many ids share."""
    starts = {event_id[:4] for event_id in event_ids}
    return {day_of_id(start + rest) for start in starts for rest in (b"\x00\x00", b"\xff\xff")}


def id_time_us(event_id: str) -> int:
    """Return the time in a hyphenated id, microseconds; an id that is not a UUIDv7 gives an arbitrary number."""
    return int(event_id[:8] + event_id[9:13], 16) * 1000


def partition_name(day: int) -> str:
    """Return the table that holds a day's events."""
    return f"events_{_date_of(day):%Y%m%d}"


@dataclass(slots=True)
class EventPartitions:
    """Creates missing partitions of days, and remembers which days have one."""

    retention_days: int
    retry_seconds: float = RETRY_SECONDS
    _known: set[int] = field(default_factory=set)
    _not_before: float = 0.0

    def ensure(self, connection: Connection[Any], days: Iterable[int]) -> None:
        """Create partitions for those of `days` that are plausible: inside the retention, not far ahead.

        While another session reads all events for long (an audit, a backup), none can be created: a day's events go to
        the default partition until that session ends.
        """
        today = _today()
        wanted = {day for day in days if today - self.retention_days <= day <= today + DAYS_AHEAD}
        missing = wanted - self._known
        if missing and time.monotonic() >= self._not_before:
            self._known |= _existing(connection)
            try:
                for day in sorted(missing - self._known):
                    create_partition(connection, day)
                    self._known.add(day)
            except LockNotAvailable:
                self._not_before = time.monotonic() + self.retry_seconds

    def make_ahead(self, connection: Connection[Any]) -> None:
        """Create the partitions of today and of the next days."""
        today = _today()
        self.ensure(connection, range(today, today + DAYS_AHEAD + 1))

    def drop_old(self, connection: Connection[Any]) -> list[str]:
        """Drop the partitions outside the retention; returns their names.

        A partition that another session reads is left for the next call: waiting for it would block every writer.
        """
        oldest = _today() - self.retention_days
        old = [day for day in sorted(_existing(connection)) if day < oldest]
        dropped = [partition_name(day) for day in old if _drop(connection, day)]
        self._known = {day for day in self._known if day >= oldest}
        return dropped


def _today() -> int:
    return int(datetime.now(UTC).timestamp() * 1000) // DAY_MS


def _existing(connection: Connection[Any]) -> set[int]:
    days = set()
    for (name,) in connection.execute(query("load_event_partitions")):
        if match := _NAME.match(name):
            days.add((date(*map(int, match.groups())) - date(1970, 1, 1)).days)
    return days


def _date_of(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def _drop(connection: Connection[Any], day: int) -> bool:
    try:
        with connection.transaction():
            connection.execute(_SHORT_LOCK_TIMEOUT)
            connection.execute(query("drop_events_partition"), {"day": _date_of(day)})
    except LockNotAvailable:
        return False
    return True


def create_partition(connection: Connection[Any], day: int) -> None:
    """Create the partition of a day and move its rows there from the default one, unless it exists.

    Raises psycopg's `LockNotAvailable` while another session reads all events.
    """
    with connection.transaction():
        connection.execute(query("lock_maintenance"))
        connection.execute(_SHORT_LOCK_TIMEOUT)
        connection.execute(query("create_events_partition"), {"day": _date_of(day)})
