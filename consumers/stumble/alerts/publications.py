"""Reads publications in the order of their transactions, and stores the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stumble.alerts.lease import Lease, LeaseLostError
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection


class StoredPublication(NamedTuple):
    """One publication as the projector stored it; `incarnation`, `xid` and `id` are its position."""

    id: int
    incarnation: int
    xid: str
    kind: str
    subject_id: str
    request_key: str
    instance_uuid: str
    revision: int
    correction: bool
    status: str
    replaced_by: str | None
    payload: dict[str, Any]
    created_us: int


class PublicationCursor:
    """A cursor over `publications`.

    A projector's transactions get their ids under its partition's lock, so the order (xid, id) is the order of each
    subject's revisions, within an incarnation of the store.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._position = (0, "0", 0)

    def open(self, connection: Connection[Any]) -> None:
        """Load the position of the lease's last holder."""
        connection.execute(query("create_cursor"), {"name": self._lease.name})
        row = connection.execute(query("load_cursor"), {"name": self._lease.name}).fetchone()
        if row is not None:
            self._position = (row[0], row[1], row[2])

    def read(self, connection: Connection[Any], limit: int) -> list[StoredPublication]:
        """Return the next rows, oldest first; the same ones again until they are marked.

        `connection` commits each statement by itself: the horizon must be read before the rows.
        """
        until, _, current = connection.execute(query("load_publications_horizon")).fetchone() or (0, 0, None)
        given = {**self._parameters(), "current": current, "horizon": str(until), "limit": limit}
        rows = connection.execute(query("load_publications_after"), given)
        return [StoredPublication(*row) for row in rows]

    def mark(self, connection: Connection[Any], last: StoredPublication) -> None:
        """Store that everything up to `last` is delivered; raises `LeaseLostError` if the lease is lost."""
        moved = connection.execute(
            query("move_cursor"),
            {
                "name": self._lease.name,
                "holder": self._lease.holder,
                "token": self._lease.token,
                "incarnation": last.incarnation,
                "xid": last.xid,
                "id": last.id,
            },
        ).rowcount
        if moved != 1:
            raise LeaseLostError("Lost the lease to another alerter; this progress was not saved.")
        self._position = (last.incarnation, last.xid, last.id)

    def waiting(self, connection: Connection[Any]) -> tuple[int, float | None]:
        """Return how many publications wait, and the time of the oldest (seconds since 1970)."""
        row = connection.execute(query("count_waiting_publications"), self._parameters()).fetchone()
        return (row[0], row[1]) if row else (0, None)

    def _parameters(self) -> dict[str, Any]:
        return dict(zip(("incarnation", "xid", "id"), self._position, strict=True))
