"""Statements, binary rows and the days of event ids."""

from __future__ import annotations

import struct
import uuid

from hypothesis import given
from hypothesis import strategies as st

from stumble.store.copying import PG_EPOCH_US, event_row, uuid_array
from stumble.store.partitions import DAY_MS, day_of_id, days_of_ids, first_id, partition_name
from stumble.store.queries import load_queries
from stumble.wire.ids import new_event_id


def test_named_statements_contain_no_inner_semicolon():
    statements = load_queries()
    assert len(statements) > 40
    assert all(";" not in text.rstrip().rstrip(";").split("--")[0] for text in statements.values())


def test_event_row_has_the_binary_copy_format_of_postgresql():
    ident = uuid.uuid4()
    row = event_row(ident.bytes, PG_EPOCH_US + 5, 3, 9, b"body")
    assert row[:2] == struct.pack("!h", 6)
    assert row[6:22] == ident.bytes
    assert struct.unpack("!q", row[26:34]) == (5,)
    assert row.endswith(struct.pack("!i", 4) + b"body" + struct.pack("!i", -1))
    assert event_row(ident.bytes, 0, 3, 9, b"body", "ä").endswith(b"body" + struct.pack("!i", 2) + "ä".encode())
    assert uuid_array([ident.bytes, ident.bytes])[12:16] == struct.pack("!i", 2)


@given(st.integers(0, 4_000_000_000_000_000))
def test_event_id_is_in_the_id_range_of_its_day(time_us):
    event_id = new_event_id(time_us)
    day = day_of_id(uuid.UUID(event_id).bytes)
    assert day == time_us // 1000 // DAY_MS
    assert first_id(day) <= event_id < first_id(day + 1)
    assert day in days_of_ids([uuid.UUID(event_id).bytes])
    assert partition_name(0) == "events_19700101"
