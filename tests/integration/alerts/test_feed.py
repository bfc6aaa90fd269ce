"""Publications are followed in the order of their transactions, whatever these are called."""

from __future__ import annotations

from stumble.alerts.lease import Lease
from stumble.alerts.publications import PublicationCursor
from tests.integration.alerts.conftest import failure, lay


def test_no_row_is_passed_over_where_transaction_ids_get_longer(link):
    """By their texts 1000 comes before 998: a reader that ordered so went past 298 rows and never told them."""
    rows = [failure(1_790_000_000_000_000 + number) for number in range(4)]
    for xid, row in zip(("9", "98", "100", "101"), rows, strict=True):
        lay(link, [row])
        link.execute("update publications set xid = %s::text::xid8 where subject_id = %s", (xid, row["failure_id"]))
    lease = Lease("feed")
    assert lease.held(link)
    feed = PublicationCursor(lease)
    feed.open(link)
    found = []
    while batch := feed.read(link, 1):
        found += [row.subject_id for row in batch]
        feed.mark(link, batch[-1])
    assert found == [row["failure_id"] for row in rows]
