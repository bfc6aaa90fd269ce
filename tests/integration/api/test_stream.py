"""The stream: no publication is skipped, also not one that commits late; waiting requests return on an outcome."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from stumble.cli.ask import ApiClient, SseEvent
from stumble.store.connect import connect
from tests.integration.api.test_wait import wait_for_waiting_requests
from tests.support.asking import get
from tests.support.rows import Store


class Listener(threading.Thread):
    """Follows a stream until it has received `count` events."""

    def __init__(self, api: str, count: int, last_id: str | None = None, **filters: Any) -> None:
        super().__init__(daemon=True)
        self._api = ApiClient(api)
        self._stream = self._api.stream(filters, last_id)
        self._count = count
        self.opened = threading.Event()
        self.last_id = last_id
        self.events: list[SseEvent] = []
        self.start()
        assert self.opened.wait(60)

    def run(self) -> None:
        with self._api:
            self._follow()

    def _follow(self) -> None:
        for event in self._stream:
            if event.kind == "open":
                self.last_id = event.id
                self.opened.set()
            else:
                self.events.append(event)
            if len(self.events) >= self._count:
                self._stream.close()  # type: ignore[attr-defined]
                return

    def subjects(self) -> list[str]:
        self.join(90)
        assert not self.is_alive(), self.events
        return [event.data["subject_id"] for event in self.events]


def test_publications_are_streamed_once_each_in_order(store: Store, api: str) -> None:
    listener = Listener(api, 3)
    request = store.request()
    rows = [store.failure(request, host=f"cmp{number}") for number in range(2)]
    for row in rows:
        store.publish("failure", row)
    store.publish("outcome", request, started_at=1_769_860_800_000_000)
    expected = [str(row["failure_id"]) for row in rows] + [str(request["request_key"])]
    assert listener.subjects() == expected
    assert [event.kind for event in listener.events] == ["failure", "failure", "outcome"]
    assert listener.events[2].data["record"]["started_at"] == "2026-01-31T12:00:00.000000Z"


def test_failure_has_its_message_beside_the_published_record(store: Store, api: str) -> None:
    failed = store.failure_with_message(store.request(), "internal error")
    listener = Listener(api, 1)
    store.publish("failure", failed)
    assert listener.subjects() == [str(failed["failure_id"])]
    assert listener.events[0].data["message"] == "internal error"
    assert "message" not in listener.events[0].data["record"]


def test_row_that_commits_late_is_not_skipped(store: Store, api: str) -> None:
    early, late = (store.failure(store.request()) for _ in range(2))
    listener = Listener(api, 2)
    with connect(store.url, autocommit=False) as slow:
        writer = Store(store.url)
        writer.connection.close()
        writer.connection = slow
        slow.execute("select pg_advisory_xact_lock(7, 1)")  # as each publisher does
        writer.publish("failure", late)  # takes the lower number, commits last
        store.publish("failure", early)
        time.sleep(1)
        assert listener.events == []
        slow.commit()
    assert listener.subjects() == [str(late["failure_id"]), str(early["failure_id"])]


def test_stream_resumes_after_the_last_event_id(store: Store, api: str) -> None:
    rows = [store.failure(store.request()) for _ in range(4)]
    first = Listener(api, 2)
    for row in rows:
        store.publish("failure", row)
    assert first.subjects() == [str(row["failure_id"]) for row in rows[:2]]
    last_id = first.events[-1].id
    for resumed in (Listener(api, 2, last_id), Listener(api, 2, after=last_id)):
        assert resumed.subjects() == [str(row["failure_id"]) for row in rows[2:]]


def test_event_id_older_than_the_retention_gives_a_gap_event(store: Store, api: str) -> None:
    rows = [store.failure(store.request()) for _ in range(3)]
    for row in rows:
        store.publish("failure", row)
    store.connection.execute("delete from publications where subject_id = %s", [rows[0]["failure_id"]])
    listener = Listener(api, 3, "1-1-0")
    listener.join(90)
    assert [event.kind for event in listener.events] == ["gap", "failure", "failure"]
    assert "may have been deleted" in listener.events[0].data["detail"]


def test_position_that_the_store_never_reached_is_refused_unless_the_database_was_restored(
    store: Store, api: str
) -> None:
    lost = f"{store.incarnation}-{2**62}-7"
    refused = get(f"{api}/v1/stream", headers={"Last-Event-ID": lost})
    assert refused.status_code == 400
    assert "another store" in refused.json()["detail"]
    store.connection.execute("update store_incarnations set identity = 'another server'")
    listener = Listener(api, 1, lost)
    store.begin_incarnation()
    row = store.failure(store.request())
    store.publish("failure", row)
    assert listener.subjects() == [str(row["failure_id"])]


def test_stream_can_be_filtered_by_each_field(store: Store, api: str) -> None:
    request = store.request(action="resize", owner_project_id="b")
    matching = store.failure(request, blame="CAPACITY", fingerprint="v1:full")
    listeners = [
        Listener(api, 1, **filters)
        for filters in (
            {"action": ["resize"], "kind": "failure"},
            {"blame": ["CAPACITY", "USER"]},
            {"instance": str(request["instance_uuid"])},
            {"project": "b"},
            {"problem": "v1:full"},
            {"request": request["request_id"]},
        )
    ]
    store.publish("failure", store.failure(store.request(), blame="OPERATOR"))
    store.publish("failure", matching)
    for listener in listeners:
        assert listener.subjects() == [str(matching["failure_id"])]


def test_listener_far_behind_gets_events_from_the_store(store: Store, api: str) -> None:
    request = store.request()
    rows = [store.failure(request) for _ in range(30)]
    head = Listener(api, 30)
    for row in rows:
        store.publish("failure", row)
    expected = head.subjects()
    late_listener = Listener(api, 30, head.events[0].id)
    store.publish("failure", store.failure(request))
    assert late_listener.subjects()[:29] == expected[1:]


def test_waiting_request_returns_when_the_outcome_is_published(store: Store, api: str) -> None:
    request = store.request(outcome="IN_PROGRESS")
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(httpx.get, f"{api}/v1/requests/{request['request_id']}?wait=30", timeout=120)
        wait_for_waiting_requests(api)
        store.finish_request(request, "SUCCEEDED")
        assert answer.result(90).json()["items"][0]["outcome"] == "SUCCEEDED"


def test_waiting_request_times_out_and_finds_an_unpublished_outcome(store: Store, api: str) -> None:
    request = store.request(outcome="IN_PROGRESS")
    path = f"{api}/v1/requests/{request['request_id']}"
    assert get(f"{path}?wait=0.5").json()["items"][0]["outcome"] == "IN_PROGRESS"
    assert get(f"{api}/v1/requests/req-none?wait=0.5").status_code == 404
    assert get(f"{path}?wait=61").status_code == 400
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(httpx.get, f"{path}?wait=30", timeout=120)
        wait_for_waiting_requests(api)
        store.finish_request(request, "FAILED", publish=False)
        assert answer.result(90).json()["items"][0]["outcome"] == "FAILED"


def test_open_streams_and_waiting_requests_do_not_delay_shutdown(store: Store, unused_port: Any) -> None:
    from tests.support.api_fixtures import running_api

    request = store.request(outcome="IN_PROGRESS")
    with ThreadPoolExecutor() as threads:
        with running_api(store.url) as api:
            Listener(api, 1)
            answer = threads.submit(httpx.get, f"{api}/v1/requests/{request['request_id']}?wait=30", timeout=120)
            wait_for_waiting_requests(api)
        assert answer.result(60).json()["items"][0]["outcome"] == "IN_PROGRESS"
