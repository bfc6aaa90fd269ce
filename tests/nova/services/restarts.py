"""Play restarts into a whole pipeline, and find out how long the right record took after the service's start."""

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

WITHIN = 60.0
"""Seconds after the service's start in which the record must be right."""
SETTINGS = {"STUMBLE_CLOCK__LOOK_EVERY": "0.5", "STUMBLE_CLOCK__SETTLE": "1"}
"""A projector that has just started judges nothing for a minute; here it has."""


def run(cloud: Services, pipeline: Pipeline, restarts: Iterable[Restart]) -> dict[str, dict[str, Any]]:
    """Play all restarts, one kill for each host; return what was seen of each by its name."""
    found: dict[str, dict[str, Any]] = {}
    rounds: dict[str, list[Restart]] = {}
    for one in restarts:
        rounds.setdefault(one.killed, []).append(one)
    for host, ones in rounds.items():
        played, started = player.play(cloud, ones, host)
        seconds = _watch(pipeline, played, started)
        for one in played:
            found[one.restart.name] = _result(cloud, pipeline, one, seconds[one.restart.name])
    return found


def _watch(pipeline: Pipeline, played: list[Played], started: float, patience: float = 120) -> dict[str, float | None]:
    """Return for each restart the seconds from the service's start until its record was right, None if it never was."""
    seconds: dict[str, float | None] = {one.restart.name: None for one in played}
    while time.time() < started + patience and None in seconds.values():
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
    """Return what is wrong with the record of a server, one sentence each: its requests, and no others."""
    expected = [one.restart.expected, *one.restart.also]
    left = [item for item in items if item["request_id"] not in one.prepared]
    said = []
    for want in expected:
        item = next((item for item in left if item["action"] == want.action), None)
        if item is None:
            said.append(f"no {want.action}")
        else:
            left.remove(item)
            said += _of_one(want, item)
    said += [f"{item['action']} ({item['outcome']}) is no request" for item in left]
    return said


def _of_one(want: Expected, item: Mapping[str, Any]) -> list[str]:
    failures = Counter((failure["host"], failure["exception"]) for failure in item["failures"])
    pairs = (
        ("outcome", want.outcome, item["outcome"]),
        ("failures", sorted(Counter(want.failures).elements()), sorted(failures.elements())),
        ("effect", want.effect, item.get("effect")),
    )
    return [f"{want.action}: {name} {found} instead of {right}" for name, right, found in pairs if right != found]
