"""Responses of the API with a real store."""

from __future__ import annotations

import uuid
from datetime import timedelta

import psycopg

from tests.support.asking import get
from tests.support.rows import START, Store


def test_request_has_the_failures_of_two_hosts_in_order(store: Store, api: str) -> None:
    request = store.request(
        action="create",
        verdict="MaxRetriesExceeded",
        effect="ERROR",
        failure_count=2,
        global_request_id="req-global",
        steps=[{"step": "compute__do_build_and_run_instance", "host": "cmp1", "attempt": 1, "result": "Error"}],
        labels={"rack": "r1"},
    )
    second = store.failure(request, host="cmp2", attempt=2, occurred_at=START + timedelta(seconds=9))
    first = store.failure(request, host="cmp1", attempt=1)
    for id_ in (request["request_id"], "req-global", str(request["request_key"])):
        answer = get(f"{api}/v1/requests/{id_}").raise_for_status().json()
        [item] = answer["items"]
        assert item["outcome"] == "FAILED"
        assert item["final"] is True
        assert item["verdict"] == "MaxRetriesExceeded"
        assert item["action"] == "create"
        assert item["started_at"] == "2026-01-31T12:00:00.000000Z"
        assert [failure["host"] for failure in item["failures"]] == ["cmp1", "cmp2"]
        assert [failure["failure_id"] for failure in item["failures"]] == [
            str(first["failure_id"]),
            str(second["failure_id"]),
        ]
        assert item["failures"][0]["occurred_at"] == "2026-01-31T12:00:02.000000Z"
        assert item["steps"][0]["host"] == "cmp1"


def test_request_id_returns_the_requests_of_several_servers(store: Store, api: str) -> None:
    for name in ("a", "b"):
        store.request(request_id="req-1", display_name=name, outcome="SUCCEEDED")
    items = get(f"{api}/v1/requests/req-1").json()["items"]
    assert sorted(item["display_name"] for item in items) == ["a", "b"]


def test_instance_has_last_request_last_failure_and_history(store: Store, api: str) -> None:
    instance = uuid.uuid4()
    old = store.request(instance_uuid=instance, started_at=START - timedelta(days=1))
    failure = store.failure(old)
    new = store.request(instance_uuid=instance, outcome="SUCCEEDED", action="start")
    answer = get(f"{api}/v1/instances/{instance}").json()
    assert answer["last_request"]["request_key"] == str(new["request_key"])
    assert answer["last_failure"]["failure_id"] == str(failure["failure_id"])
    assert [item["action"] for item in answer["history"]] == ["start", "stop"]
    assert answer["next"] is None
    page = get(f"{api}/v1/instances/{instance}?limit=1").json()
    assert len(page["history"]) == 1
    older = get(api + page["next"]).json()
    assert [item["action"] for item in older["history"]] == ["stop"]
    assert older["last_request"]["action"] == "start"
    listed = get(f"{api}/v1/requests?instance={instance}&outcome=SUCCEEDED").json()
    assert [item["action"] for item in listed["items"]] == ["start"]


def test_message_is_shown_in_every_list_where_the_reason_is_only_a_class(store: Store, api: str) -> None:
    request = store.request(reason="libvirtError; Nova gave up")
    store.failure(request, occurred_at=START)
    failed = store.failure_with_message(request, "internal error", fingerprint="v1:abc", effect="ERROR")
    store.insert("problems", fingerprint="v1:abc", exception="libvirtError", blame="UNKNOWN", reason="libvirtError",
                 first_at=START, last_at=START)  # fmt: skip
    id_, server = request["request_id"], request["instance_uuid"]
    listed = get(f"{api}/v1/failures").json()["items"]
    assert [(item["reason"], item["message"]) for item in listed] == [
        ("libvirtError", "internal error"),
        ("Failed to power off instance: the guest does not answer", None),
    ]
    assert get(f"{api}/v1/failures/{failed['failure_id']}").json()["message"] == "internal error"
    [item] = get(f"{api}/v1/requests/{id_}").json()["items"]
    assert (item["message"], item["failures"][1]["message"]) == ("internal error", "internal error")
    known = get(f"{api}/v1/instances/{server}").json()
    assert known["last_failure"]["message"] == known["last_request"]["message"] == "internal error"
    assert [problem["message"] for problem in get(f"{api}/v1/problems").json()["items"]] == ["internal error"]
    assert get(f"{api}/v1/problems/v1:abc").json()["message"] == "internal error"


def test_failure_details_are_read_from_the_stored_event(store: Store, api: str) -> None:
    event = uuid.uuid4()
    failure = store.failure(store.request(), event_ids=[event], detail_event_id=event)
    store.event(
        event,
        failure={"exception": "InstancePowerOffFailure", "message": "raw words", "traceback": "Traceback …"},
        source={"publisher": "nova-compute:cmp1", "signal": "event_finish"},
    )
    answer = get(f"{api}/v1/failures/{failure['failure_id']}").json()
    assert answer["details"]["message"] == "raw words"
    assert answer["details"]["traceback"] == "Traceback …"
    assert answer["details"]["publisher"] == "nova-compute:cmp1"
    assert answer["sightings"] == [str(event)]


def test_failures_can_be_filtered_by_each_field(store: Store, api: str) -> None:
    one = store.failure(store.request(action="create", owner_project_id="a"), blame="CAPACITY", host="h1")
    two = store.failure(
        store.request(action="resize", owner_project_id="b", global_request_id="req-g"),
        exception="X",
        fingerprint="v1:x",
        host="h2",
        occurred_at=START + timedelta(hours=1),
    )

    def ids(query: str) -> list[str]:
        return [item["failure_id"] for item in get(f"{api}/v1/failures?{query}").json()["items"]]

    first, second = str(one["failure_id"]), str(two["failure_id"])
    assert ids("") == [second, first]
    assert ids("action=create") == ids("blame=CAPACITY") == ids("project=a") == ids("host=h1") == [first]
    assert ids("action=create&action=resize") == [second, first]
    assert (
        ids("exception=X")
        == ids("problem=v1:x")
        == ids("request=req-g")
        == ids(f"request={two['request_id']}")
        == [second]
    )
    assert ids(f"instance={one['instance_uuid']}") == [first]
    assert ids("since=2026-01-31T12:30:00Z") == [second]
    assert ids("until=2026-01-31T12:30:00Z") == [first]
    assert ids("since=1m") == []


def test_sightings_without_a_server_are_listed_by_state(store: Store, api: str) -> None:
    for number, state in enumerate(("UNJOINED", "EXPIRED", "JOINED")):
        store.insert(
            "sightings",
            event_id=uuid.UUID(int=number),
            request_id="req-1",
            occurred_at=START + timedelta(seconds=number),
            exception="X",
            fact=b"",
            state=state,
            kafka_partition=0,
            deadline=START,
        )
    page = get(f"{api}/v1/sightings?limit=1").json()
    assert [item["state"] for item in page["items"]] == ["EXPIRED"]
    assert [item["state"] for item in get(api + page["next"]).json()["items"]] == ["UNJOINED"]
    assert len(get(f"{api}/v1/sightings?state=JOINED").json()["items"]) == 1


def test_invalid_request_returns_a_problem_in_one_sentence(store: Store, api: str) -> None:
    for path, status, word in (
        ("/v1/failures?blame=ME", 400, "blame"),
        ("/v1/failures?since=yesterday", 400, "duration"),
        ("/v1/failures?cursor=nonsense", 400, "cursor"),
        ("/v1/failures?acton=stop", 400, "acton"),
        ("/v1/failures?action=%00", 400, "action"),
        ("/v1/failures?instance=no-uuid", 400, "instance"),
        ("/v1/requests", 400, "instance"),
        ("/v1/requests/req-none", 404, "req-none"),
        (f"/v1/instances/{uuid.uuid4()}", 404, "Instance"),
        (f"/v1/failures/{uuid.uuid4()}", 404, "failure"),
        ("/v1/stream?after=nonsense", 400, "Last-Event-ID"),
        ("/v1/stream?after=9223372036854775807-1-1", 400, "another store"),
        ("/nowhere", 404, "/nowhere"),
    ):
        answer = get(api + path)
        problem = answer.json()
        assert answer.status_code == status, (path, problem)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert word in problem["detail"]
        assert problem["detail"].endswith(".")
        assert "\n" not in problem["detail"]


def test_error_page_shows_one_sentence(api: str) -> None:
    for path, status, words in (
        ("/requests/req-none", 404, "No request is known under req-none"),
        (f"/servers/{uuid.uuid4()}", 404, "is unknown: no action on it"),
        ("/?blame=ME", 400, "blame"),
        ("/servers/none", 400, "is not a valid uuid"),
    ):
        answer = get(api + path, headers={"Accept": "text/html"})
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert words in answer.text


def test_foreign_host_header_is_refused(api: str) -> None:
    answer = get(f"{api}/v1/failures", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert "loopback" in answer.json()["detail"]


def test_readyz_reports_progress_and_missing_migrations(store: Store, api: str) -> None:
    assert get(f"{api}/healthz").json() == {"status": "ok"}
    ready = get(f"{api}/readyz")
    assert ready.status_code == 200, ready.text
    assert ready.json()["migrations"] is True
    store.insert(
        "offsets", topic="instance-actions", kafka_partition=0, topic_id="t", next_offset=7, last_record_at=START
    )
    progress = get(f"{api}/readyz").json()
    assert progress["partitions"][0]["offset"] == 7
    assert progress["lag_seconds"] > 0
    assert (progress["status"], progress["reasons"][0].partition(":")[0]) == (
        "stale",
        "No projector has reported for 12 seconds",
    )
    reported = {"topic": "instance-actions", "kafka_partition": 0, "since": START}
    store.insert(
        "partition_states", **reported, state="BAD_RECORDS", description="stopped at offset 7", reported_at="now"
    )
    blocked = get(f"{api}/readyz")
    assert (blocked.status_code, blocked.json()["reasons"][0]) == (
        200,
        "Partition 0 of instance-actions: stopped at offset 7.",
    )
    store.connection.execute("update partition_states set state = 'READING'")
    assert get(f"{api}/readyz").json()["status"] == "ready"
    store.connection.execute("update partition_states set reported_at = now() - interval '8 seconds'")
    assert get(f"{api}/readyz").json()["status"] == "ready"
    store.connection.execute("update partition_states set reported_at = now() - interval '13 seconds'")
    assert get(f"{api}/readyz").json()["status"] == "stale"
    [(digest,)] = store.connection.execute("select obj_description('stumble_durable'::regnamespace)").fetchall()
    store.connection.execute("comment on schema stumble_durable is 'another'")
    behind = get(f"{api}/readyz")
    store.connection.execute(f"comment on schema stumble_durable is '{digest}'")
    assert behind.status_code == 503
    assert "stumble store migrate" in behind.json()["reasons"][0]


def test_store_of_a_newer_release_is_served_and_readyz_asks_for_the_upgrade(store: Store, api: str) -> None:
    [(number,)] = store.connection.execute("select version_num from alembic_version").fetchall()
    store.connection.execute("update alembic_version set version_num = '0099'")
    try:
        ready = get(f"{api}/readyz")
        assert ready.status_code == 200, ready.text
        assert "upgrade stumble here" in ready.json()["reasons"][0]
        assert ready.json()["migrations"] is False
        assert get(f"{api}/v1/failures").status_code == 200
    finally:
        store.connection.execute("update alembic_version set version_num = %s", (number,))


def test_unmigrated_database_returns_503_with_the_command_to_run(database_url: str) -> None:
    from tests.support.api_fixtures import running_api

    with running_api(database_url) as api:
        for path in ("/v1/failures", "/readyz"):
            answer = get(api + path)
            assert answer.status_code == 503
            assert "stumble store migrate" in answer.text


def test_docs_page_loads_nothing_from_other_servers(api: str) -> None:
    page = get(f"{api}/docs").raise_for_status().text
    assert "https://" not in page
    assert get(f"{api}/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_metrics_of_the_store_and_of_the_api_are_exported(api: str) -> None:
    get(f"{api}/v1/failures")
    text = get(f"{api}/metrics").raise_for_status().text
    assert "stumble_api_store_up 1.0" in text
    assert 'stumble_action_requests_open{action="resize"} 0.0' in text
    assert 'stumble_api_requests_total{method="GET",route="/v1/failures",status="200"}' in text


def test_connection_of_a_reader_is_read_only(store: Store) -> None:
    import asyncio

    from stumble.api.database import Database, fetch

    async def attempt() -> None:
        database = Database(store.url)
        await database.open()
        try:
            async with database.read() as connection:
                await fetch(connection, "delete from failures returning 1")
        finally:
            await database.close()

    try:
        asyncio.run(attempt())
    except psycopg.errors.ReadOnlySqlTransaction:
        return
    raise AssertionError("a reader could write")
