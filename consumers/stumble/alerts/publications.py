"""Reads publications in the order of their transactions, and marks how far it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stumble.alerts.lease import Lease, LeaseLostError
from stumble.store.queries import query

if TYPE_CHECKING:
    from psycopg import Connection


class StoredPublication(NamedTuple):
    """One publication as the projector laid it down; `xid` and `id` are its place."""

    id: int
    xid: str
    kind: str
    subject_id: str
    request_key: str
    instance_uuid: str
    revision: int
    status: str
    replaced_by: str | None
    payload: dict[str, Any]
    created_us: int


class PublicationCursor:
    """A cursor over `publications`.

    A projector's transactions take their ids under its partition's lock, so the order (xid, id) is the order of each
    subject's revisions.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._place = ("0", 0)

    def open(self, connection: Connection[Any]) -> None:
        """Go to where the last holder of the lease came."""
        connection.execute(query("create_cursor"), {"name": self._lease.name})
        row = connection.execute(query("load_cursor"), {"name": self._lease.name}).fetchone()
        if row is not None:
            self._place = (row[0], row[1])

    def read(self, connection: Connection[Any], limit: int) -> list[StoredPublication]:
        """Return the next rows, oldest first; the same ones again until they are marked.

        `connection` commits each statement by itself: the horizon must be there before the rows are looked at.
        """
        horizon = connection.execute(query("load_publications_horizon")).fetchone()
        given = {**self._at(), "horizon": str(horizon[0]) if horizon else "0", "limit": limit}
        rows = connection.execute(query("load_publications_after"), given)
        return [StoredPublication(*row) for row in rows]

    def mark(self, connection: Connection[Any], last: StoredPublication) -> None:
        """Note that everything up to `last` is delivered; raises `LeaseLostError` when it's no longer ours to say."""
        moved = connection.execute(
            query("move_cursor"),
            {
                "name": self._lease.name,
                "holder": self._lease.holder,
                "token": self._lease.token,
                "xid": last.xid,
                "id": last.id,
            },
        ).rowcount
        if moved != 1:
            raise LeaseLostError("Another alerter holds the lease: its marks count, not these.")
        self._place = (last.xid, last.id)

    def waiting(self, connection: Connection[Any]) -> tuple[int, float | None]:
        """Return how many publications wait, and the time of the oldest (seconds)."""
        row = connection.execute(query("count_waiting_publications"), self._at()).fetchone()
        return (row[0], row[1]) if row else (0, None)

    def _at(self) -> dict[str, Any]:
        return {"xid": self._place[0], "id": self._place[1]}
