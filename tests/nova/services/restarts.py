"""Play restarts with a whole pipeline, and measure the time from the service's start to the right record."""

from __future__ import annotations

import time
import urllib.error
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.nova.services import player

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.nova.pipeline import Pipeline
    from tests.nova.services.cloud import Services
    from tests.nova.services.player import Played
    from tests.nova.services.table import Expected, Restart

SETTINGS = {
    "STUMBLE_CLOCK__CHECK_INTERVAL": "0.5",
    "STUMBLE_CLOCK__SETTLE": "1",
    "STUMBLE_CLOCK__RESTART_CONFIRMATION": "1",
}
"""By default a projector that has just started marks nothing as stalled for a minute; here for a second."""


def run(cloud: Services, pipeline: Pipeline, restarts: Iterable[Restart]) -> dict[str, dict[str, Any]]:
    """Play all restarts, one kill for each host; return the result of each by its name."""
    results: dict[str, dict[str, Any]] = {}
    by_host: dict[str, list[Restart]] = {}
    for restart in restarts:
        by_host.setdefault(restart.killed, []).append(restart)
    for host, of_host in by_host.items():
        played, started = player.play(cloud, of_host, host)
        seconds = _watch(pipeline, played, started)
        for one in played:
            results[one.restart.name] = _result(cloud, pipeline, one, seconds[one.restart.name])
    return results


def _watch(pipeline: Pipeline, played: list[Played], started: float, timeout: float = 120) -> dict[str, float | None]:
    """Return for each restart the seconds from the service's start until its record was right, None if it never was."""
    seconds: dict[str, float | None] = {one.restart.name: None for one in played}
    while time.time() < started + timeout and None in seconds.values():
        pipeline.require_running()
        for one in played:
            if seconds[one.restart.name] is None and not wrong(one, history(pipeline, one.server)):
                seconds[one.restart.name] = round(time.time() - started, 1)
        time.sleep(0.5)
    return seconds


def _result(cloud: Services, pipeline: Pipeline, one: Played, seconds: float | None) -> dict[str, Any]:
    items = history(pipeline, one.server)
    server = cloud.server(one.server)
    action = cloud.call("GET", f"/servers/{one.server}/os-instance-actions/{one.request_id}").body
    events = action.get("instanceAction", {}).get("events", [])
    return {
        "wrong": wrong(one, items),
        "seconds": seconds,
        "items": [item for item in items if item["request_id"] not in one.prepared],
        "nova": {
            "status": server and server["status"],
            "task": server and server["OS-EXT-STS:task_state"],
            "message": action.get("instanceAction", {}).get("message"),
            "events": {event["event"]: event["result"] for event in reversed(events)},
        },
    }


def history(pipeline: Pipeline, server: str) -> list[dict[str, Any]]:
    """Return all requests of a server, with their failures."""
    try:
        items = pipeline.get(f"/v1/instances/{server}")["history"]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return []
        raise
    requests = {item["request_id"] for item in items}
    whole = [item for request in sorted(requests) for item in pipeline.requests(request)]
    return [item for item in whole if item["instance_uuid"] == server]


def wrong(one: Played, items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the differences of a server's record, one sentence each: missing, wrong and additional requests."""
    expected = [one.restart.expected, *one.restart.also]
    remaining = [item for item in items if item["request_id"] not in one.prepared]
    differences = []
    for expected_request in expected:
        item = next((item for item in remaining if item["action"] == expected_request.action), None)
        if item is None:
            differences.append(f"{expected_request.action} is missing")
        else:
            remaining.remove(item)
            differences += _of_one(expected_request, item)
    differences += [f"{item['action']} ({item['outcome']}) is not expected" for item in remaining]
    return differences


def _of_one(expected_request: Expected, item: Mapping[str, Any]) -> list[str]:
    failures = Counter((failure["host"], failure["exception"]) for failure in item["failures"])
    pairs = (
        ("outcome", expected_request.outcome, item["outcome"]),
        ("failures", sorted(Counter(expected_request.failures).elements()), sorted(failures.elements())),
        ("effect", expected_request.effect, item.get("effect")),
    )
    return [
        f"{expected_request.action}: {name} {actual} instead of {right}"
        for name, right, actual in pairs
        if right != actual
    ]
