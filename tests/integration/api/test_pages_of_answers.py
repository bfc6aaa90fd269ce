"""Pages: each row once, in order, whatever its neighbours' times and whatever arrives meanwhile."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.asking import PATIENCE
from tests.support.rows import START, Store

# Few distinct times, so that ties are the rule.
SECONDS = st.lists(st.integers(0, 3), max_size=12)


def walk(client: httpx.Client, path: str, items: str, limit: int, between: Any = lambda: None) -> list[Any]:
    found: list[Any] = []
    while path:
        answer = client.get(path).raise_for_status()
        page = answer.json()
        assert len(page[items]) <= limit
        assert (page["next"] is None) == ("link" not in answer.headers)
        found += page[items]
        path = page["next"]
        between()
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=SECONDS, limit=st.integers(1, 5))
def test_failures(served: tuple[Store, str], seconds: list[int], limit: int) -> None:
    store, api = served
    store.empty()
    request = store.request()
    rows = [store.failure(request, occurred_at=START + timedelta(seconds=each)) for each in seconds]

    def arrive() -> None:
        store.failure(request, occurred_at=START + timedelta(hours=1))

    with httpx.Client(base_url=api, timeout=PATIENCE) as client:
        found = walk(client, f"/v1/failures?limit={limit}&host=cmp1", "items", limit, arrive)
    expected = sorted(rows, key=lambda row: (-row["occurred_at"].timestamp(), row["failure_id"].bytes))
    assert [item["failure_id"] for item in found] == [str(row["failure_id"]) for row in expected]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seconds=st.lists(st.none() | st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
def test_requests_of_a_server(served: tuple[Store, str], seconds: list[int | None], limit: int) -> None:
    """Some have no start: they stand where their last news does."""
    store, api = served
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
    with httpx.Client(base_url=api, timeout=PATIENCE) as client:
        listed = walk(client, f"/v1/requests?instance={server}&limit={limit}", "items", limit)
        assert [item["request_key"] for item in listed] == expected
        if rows:
            history = walk(client, f"/v1/instances/{server}?limit={limit}", "history", limit)
            assert [item["request_key"] for item in history] == expected
