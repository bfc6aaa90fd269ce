"""What the API tells of a simulated fleet is the fleet's truth: outbox, relay, Kafka, projector and API as they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stumble.cli.ask import ApiClient
from tests.support.api_fixtures import running_api
from tests.support.asking import PATIENCE
from tests.support.command import stumble
from tests.support.comparing import assert_store_tells_truth, truths
from tests.support.whole_path import WholePath

STATUS = {"SUCCEEDED": 0, "RECOVERED": 0, "FAILED": 1, "CANCELLED": 3}


@pytest.fixture
def path(tmp_path: Path, kafka: str, database_url: str) -> Iterator[WholePath]:
    whole = WholePath(tmp_path, kafka, database_url)
    try:
        whole.prepare()
        yield whole
    finally:
        whole.close()


def test_the_api_tells_the_truth(path: WholePath, database_url: str) -> None:
    file = path.folder / "truth.jsonl"
    path.start("relay")
    path.start("projector")
    path.command("simulate", "--events", "1500", "--failures", "0.5", "--instances", "60", "--truth", str(file))
    told = truths(file)
    assert_store_tells_truth(database_url, told, logs=path.logs())
    with running_api(database_url) as api, httpx.Client(base_url=api, timeout=PATIENCE) as client:
        for one in told:
            assert_request(client, one)
        assert_failures(client, told)
        assert_stream(api, told)
        for outcome, status in STATUS.items():
            asked = next((one for one in told if one["outcome"] == outcome and alone(one, told)), None)
            if asked:
                waited = stumble("wait", asked["request_id"], "--settle", "0.1s", STUMBLE_API_URL=api)
                assert waited.returncode == status, waited


def alone(one: dict[str, Any], told: list[dict[str, Any]]) -> bool:
    return sum(other["request_id"] == one["request_id"] for other in told) == 1


def assert_request(client: httpx.Client, one: dict[str, Any]) -> None:
    items = client.get(f"/v1/requests/{one['request_id']}").raise_for_status().json()["items"]
    [item] = [item for item in items if item["request_key"] == one["request_key"]]
    for name in ("instance_uuid", "action", "outcome", "verdict"):
        assert item[name] == one[name]
    found = {(failure["failure_id"], failure["host"], failure["exception"]) for failure in item["failures"]}
    assert found == {(each["failure_id"], each["host"], each["exception"]) for each in one["failures"]}
    assert item["final"]
    assert item["failure_count"] == len(one["failures"])


def assert_failures(client: httpx.Client, told: list[dict[str, Any]]) -> None:
    found, place = [], "/v1/failures?limit=100"
    while place:
        page = client.get(place).raise_for_status().json()
        found += page["items"]
        place = page["next"]
    expected = [failure["failure_id"] for one in told for failure in one["failures"]]
    assert sorted(item["failure_id"] for item in found) == sorted(expected)
    details = [client.get(f"/v1/failures/{item['failure_id']}").json()["details"] for item in found[:20]]
    assert all(detail["publisher"] for detail in details)
    assert any(detail["message"] for detail in details)  # a migration that only rolls back has none


def assert_stream(api: str, told: list[dict[str, Any]]) -> None:
    """The stream from the first publication on ends with each failure and each outcome, as they are."""
    outcomes = {one["request_key"]: one["outcome"] for one in told}
    failures = {failure["failure_id"] for one in told for failure in one["failures"]}
    last: dict[str, Any] = {}
    with ApiClient(api) as client:
        stream = client.stream({"after": "1-0"})
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
    raise AssertionError("the stream ended before it had told everything")
