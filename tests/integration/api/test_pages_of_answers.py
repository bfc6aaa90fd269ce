"""Pagination: each row once, in order, also with equal times and with rows that arrive in between."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.asking import HTTP_TIMEOUT
from tests.support.rows import START, Store

# Few distinct times, so that equal times are common.
SECONDS = st.lists(st.integers(0, 3), max_size=12)


def walk(client: httpx.Client, path: str, items: str, limit: int, between: Any = lambda: None) -> list[Any]:
    collected: list[Any] = []
    while path:
        answer = client.get(path).raise_for_status()
        page = answer.json()
        assert len(page[items]) <= limit
        assert (page["next"] is None) == ("link" not in answer.headers)
        collected += page[items]
        path = page["next"]
        between()
    return collected


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=SECONDS, limit=st.integers(1, 5))
def test_failure_pages_have_each_row_once_while_rows_arrive(
    store_and_api: tuple[Store, str], seconds: list[int], limit: int
) -> None:
    store, api = store_and_api
    store.empty()
    request = store.request()
    rows = [store.failure(request, occurred_at=START + timedelta(seconds=each)) for each in seconds]

    def insert_newer() -> None:
        store.failure(request, occurred_at=START + timedelta(hours=1))

    with httpx.Client(base_url=api, timeout=HTTP_TIMEOUT) as client:
        collected = walk(client, f"/v1/failures?limit={limit}&host=cmp1", "items", limit, insert_newer)
    expected = sorted(rows, key=lambda row: (-row["occurred_at"].timestamp(), row["failure_id"].bytes))
    assert [item["failure_id"] for item in collected] == [str(row["failure_id"]) for row in expected]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.none() | st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
def test_request_pages_have_each_row_once_also_without_start(
    store_and_api: tuple[Store, str], seconds: list[int | None], limit: int
) -> None:
    """A request without a start is sorted by the time of its last event."""
    store, api = store_and_api
    store.empty()
    server = uuid.uuid4()
    rows = [
        store.request(
            instance_uuid=server,
            started_at=None if each is None else START + timedelta(seconds=each),
            last_event_at=START + timedelta(seconds=2),
        )
        for each in seconds
    ]

    def key(row: dict[str, Any]) -> tuple[float, bytes]:
        return -(row["started_at"] or row["last_event_at"]).timestamp(), row["request_key"].bytes

    expected = [str(row["request_key"]) for row in sorted(rows, key=key)]
    with httpx.Client(base_url=api, timeout=HTTP_TIMEOUT) as client:
        listed = walk(client, f"/v1/requests?instance={server}&limit={limit}", "items", limit)
        assert [item["request_key"] for item in listed] == expected
        if rows:
            history = walk(client, f"/v1/instances/{server}?limit={limit}", "history", limit)
            assert [item["request_key"] for item in history] == expected
