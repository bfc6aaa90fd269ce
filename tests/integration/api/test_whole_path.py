"""The API returns the truth of a simulated fleet, through outbox, relay, Kafka, projector and API as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stumble.cli.ask import ApiClient
from tests.support.api_fixtures import running_api
from tests.support.asking import HTTP_TIMEOUT
from tests.support.command import stumble
from tests.support.comparing import assert_store_matches_truth, read_truths
from tests.support.whole_path import WholePath

STATUS = {"SUCCEEDED": 0, "RECOVERED": 0, "FAILED": 1, "CANCELLED": 3}


@pytest.fixture
def whole_path(tmp_path: Path, kafka: str, database_url: str) -> Iterator[WholePath]:
    whole_path = WholePath(tmp_path, kafka, database_url)
    try:
        whole_path.prepare()
        yield whole_path
    finally:
        whole_path.close()


def test_api_returns_the_truth_of_a_simulated_fleet(whole_path: WholePath, database_url: str) -> None:
    file = whole_path.folder / "truth.jsonl"
    whole_path.start("relay")
    whole_path.start("projector")
    whole_path.command("simulate", "--events", "1500", "--failures", "0.5", "--instances", "60", "--truth", str(file))
    truths = read_truths(file)
    assert_store_matches_truth(database_url, truths, logs=whole_path.logs())
    with running_api(database_url) as api, httpx.Client(base_url=api, timeout=HTTP_TIMEOUT) as client:
        for one in truths:
            assert_request(client, one)
        assert_failures(client, truths)
        assert_stream(api, truths)
        for outcome, status in STATUS.items():
            request = next((one for one in truths if one["outcome"] == outcome and is_single(one, truths)), None)
            if request:
                result = stumble("wait", request["request_id"], "--settle", "0.1s", STUMBLE_API_URL=api)
                assert result.returncode == status, result


def is_single(one: dict[str, Any], truths: list[dict[str, Any]]) -> bool:
    return sum(other["request_id"] == one["request_id"] for other in truths) == 1


def assert_request(client: httpx.Client, one: dict[str, Any]) -> None:
    items = client.get(f"/v1/requests/{one['request_id']}").raise_for_status().json()["items"]
    [item] = [item for item in items if item["request_key"] == one["request_key"]]
    for name in ("instance_uuid", "action", "outcome", "verdict"):
        assert item[name] == one[name]
    listed = {(failure["failure_id"], failure["host"], failure["exception"]) for failure in item["failures"]}
    assert listed == {(each["failure_id"], each["host"], each["exception"]) for each in one["failures"]}
    assert item["final"]
    assert item["failure_count"] == len(one["failures"])


def assert_failures(client: httpx.Client, truths: list[dict[str, Any]]) -> None:
    listed, url = [], "/v1/failures?limit=100"
    while url:
        page = client.get(url).raise_for_status().json()
        listed += page["items"]
        url = page["next"]
    expected = [failure["failure_id"] for one in truths for failure in one["failures"]]
    assert sorted(item["failure_id"] for item in listed) == sorted(expected)
    details = [client.get(f"/v1/failures/{item['failure_id']}").json()["details"] for item in listed[:20]]
    assert all(detail["publisher"] for detail in details)
    assert any(detail["message"] for detail in details)  # a migration that only rolls back has none


def assert_stream(api: str, truths: list[dict[str, Any]]) -> None:
    """Check that the stream, from the first publication on, ends with the current failures and outcomes."""
    outcomes = {one["request_key"]: one["outcome"] for one in truths}
    failures = {failure["failure_id"] for one in truths for failure in one["failures"]}
    last: dict[str, Any] = {}
    with ApiClient(api) as client:
        stream = client.stream({"after": "0-0-0"})
        for event in stream:
            if event.kind == "open":
                continue
            assert last.get(event.data["subject_id"], {"revision": 0})["revision"] < event.data["revision"]
            last[event.data["subject_id"]] = event.data
            current = {key: item for key, item in last.items() if item["status"] == "CURRENT"}
            reached = {key: item["record"]["outcome"] for key, item in current.items() if item["kind"] == "outcome"}
            known = {key for key, item in current.items() if item["kind"] == "failure"}
            if reached == outcomes and known == failures:
                stream.close()  # type: ignore[attr-defined]
                return
    raise AssertionError("the stream ended before all publications were received")
