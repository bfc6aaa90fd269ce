"""Publications are read in the order of their transaction ids."""

from __future__ import annotations

from stumble.alerts.lease import Lease
from stumble.alerts.publications import PublicationCursor
from tests.integration.alerts.conftest import failure, insert_failures


def test_no_row_is_skipped_when_transaction_ids_get_another_digit(connection):
    """As text, 1000 sorts before 998: a reader that sorted like that skipped 298 rows and never published them."""
    rows = [failure(1_790_000_000_000_000 + number) for number in range(4)]
    for xid, row in zip(("9", "98", "100", "101"), rows, strict=True):
        insert_failures(connection, [row])
        connection.execute(
            "update publications set xid = %s::text::xid8 where subject_id = %s", (xid, row["failure_id"])
        )
    lease = Lease("feed")
    assert lease.held(connection)
    cursor = PublicationCursor(lease)
    cursor.open(connection)
    read_ids = []
    while batch := cursor.read(connection, 1):
        read_ids += [row.subject_id for row in batch]
        cursor.mark(connection, batch[-1])
    assert read_ids == [row["failure_id"] for row in rows]
