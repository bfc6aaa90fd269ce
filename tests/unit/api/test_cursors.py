"""Cursors: any text is either a position or refused with ValueError."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from stumble.api.cursors import PageCursor, StreamCursor

TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
RAW = st.binary(min_size=24, max_size=24).map(lambda raw: base64.urlsafe_b64encode(raw).decode())


@given(TIMES, st.uuids())
def test_page_cursor_keeps_time_and_id(at: datetime, id_: UUID) -> None:
    assert PageCursor.decode(PageCursor(at, id_).encode()) == PageCursor(at, id_)


@given(st.text() | RAW | st.from_regex(r"[A-Za-z0-9_-]{32}", fullmatch=True))
def test_page_cursor_of_any_text_is_a_time_that_postgresql_has_or_refused(text: str) -> None:
    try:
        cursor = PageCursor.decode(text)
    except ValueError:
        return
    assert cursor.at.year >= 1
    assert PageCursor.decode(cursor.encode()) == cursor


@given(st.text() | st.from_regex(r"-?\d{1,25}-+\d{1,25}-\d{1,25}", fullmatch=True))
def test_stream_cursor_of_any_text_fits_a_bigint_or_is_refused(text: str) -> None:
    try:
        cursor = StreamCursor.decode(text)
    except ValueError:
        return
    assert StreamCursor.decode(cursor.encode()) == cursor
    assert 0 <= cursor.incarnation < 2**63
    assert 0 <= cursor.xid < 2**63
    assert 0 <= cursor.id < 2**63
