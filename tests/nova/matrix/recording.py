"""Recordings: all events of one release of Nova, by scenario, as files that tests read.

A run of the harness has the driver enabled, with its tap and both notification formats, and also records each
notification. The signals of every other way are a part of that run's signals (`ways`). A recording contains only
events, without tracebacks: no payload, nothing of the machine that it was made on.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novaharness.scenarios import SCENARIOS
from novaharness.vocabulary import GIVEN, Scenario

from stumble.translate import translate_notification
from stumble.wire.schemas import EVENT
from tests.nova.offline import events_of

FOLDER = Path(__file__).resolve().parents[1] / "recordings"
RELEASES = ("31.3.1", "33.0.2", "34.0.0")
Event = dict[str, Any]

_EMPTY: Event = {field["name"]: None for field in EVENT.parsed["fields"]} | {
    "attributes": {},
    "labels": {},
    "emitted_at": 0,
}
_OMITTED = ("emitted_at", "labels")


@dataclass(frozen=True)
class Played:
    """One played scenario: Nova's own view of it, and the events of every instance that it touched."""

    scenario: str
    played: str
    """Hash of what the scenario does."""
    request_id: str
    server: str
    alone: bool
    """Only this server counts: the request is a periodic task's, which works on all servers."""
    status: int
    nova: dict[str, Any] | None
    """The action record, as os-instance-actions shows it to the server's owner."""
    nova_server: dict[str, Any] | None
    driver: tuple[Event, ...]
    bridge: tuple[Event, ...]


@dataclass(frozen=True)
class Recording:
    """All scenarios on one release. `tap` is the state of the tap there."""

    release: str
    tap: str
    played: tuple[Played, ...]


def hash_of(one: Scenario) -> str:
    """Return the hash of what a scenario does, without its expectation and its kind."""
    steps = (one.name, GIVEN[one.given], one.call, one.faults, one.options, one.before, one.cleanup, one.judged)
    played_text = repr((*steps, one.after) if one.after else steps)
    return hashlib.sha256(played_text.encode()).hexdigest()[:12]


HASHES = {scenario.name: hash_of(scenario) for scenario in SCENARIOS}


def stale(recording: Recording | None) -> list[str]:
    """Return the names of the scenarios that are not in a recording, or in it in an older version."""
    known = {one.scenario: one.played for one in recording.played} if recording else {}
    return [name for name, expected_hash in HASHES.items() if known.get(name) != expected_hash]


def path_of(release: str) -> Path:
    """Return the file of a release's recording."""
    return FOLDER / f"{release}.jsonl.xz"


def read(release: str) -> Recording:
    """Read a recording. Raises FileNotFoundError if there is none."""
    tap, rows = _rows(release)
    played = tuple(
        Played(**{**row, "driver": _filled(row["driver"]), "bridge": _filled(row["bridge"])}) for row in rows
    )
    return Recording(release, tap, played)


def _rows(release: str) -> tuple[str, list[dict[str, Any]]]:
    with lzma.open(path_of(release), "rt", encoding="utf-8") as lines:
        head = json.loads(next(lines))
        return head["tap"], [json.loads(line) for line in lines]


def write(release: str, tap: str, outbox: Path, notifications: Path, results: Sequence[dict[str, Any]]) -> Path:
    """Add a run to the recording of its release; `results` are the harness's. Returns its path.

    Scenarios that the run did not play stay; those that are not in the table any more are removed.
    """
    path = path_of(release)
    path.parent.mkdir(exist_ok=True)
    rows = {row["scenario"]: row for row in _rows(release)[1]} if path.exists() else {}
    driver = _by_request(events_of(outbox))
    bridge = _by_request(
        event for line in _lines(notifications) for event in translate_notification(line["msg"], line["ctxt"])
    )
    for result in results:
        names = ("scenario", "request_id", "server", "alone", "status", "nova", "nova_server")
        rows[result["scenario"]] = {
            **{name: result[name] for name in names},
            "played": HASHES[result["scenario"]],
            "driver": _events_of(driver, result),
            "bridge": _events_of(bridge, result),
        }
    new = path.with_suffix(".new")
    with lzma.open(new, "wt", encoding="utf-8", preset=9 | lzma.PRESET_EXTREME) as out:
        out.write(json.dumps({"tap": tap}) + "\n")
        for name in HASHES:
            if name in rows:
                out.write(json.dumps(rows[name], sort_keys=True) + "\n")
    new.replace(path)
    return path


class _Index:
    def __init__(self) -> None:
        self.of_instance: dict[str, list[Event]] = defaultdict(list)
        self.of_request: dict[str, list[Event]] = defaultdict(list)


def _by_request(events: Iterable[Event]) -> _Index:
    index = _Index()
    for event in events:
        if event["instance_uuid"]:
            index.of_instance[event["instance_uuid"]].append(event)
        if event["request_id"]:
            index.of_request[event["request_id"]].append(event)
    return index


def _events_of(index: _Index, result: dict[str, Any]) -> list[Event]:
    """Return the events of the instances that a scenario touched, and the events of their requests without instance."""
    instances = {event["instance_uuid"] for event in index.of_request[result["request_id"]]} | {result["server"]}
    events_by_id = {event["event_id"]: event for one in instances if one for event in index.of_instance[one]}
    for request_id in {event["request_id"] for event in events_by_id.values()} | {result["request_id"]}:
        without_instance = (event for event in index.of_request[request_id or ""] if not event["instance_uuid"])
        events_by_id |= {event["event_id"]: event for event in without_instance}
    # What a later scenario does to the cloud, for example a restart of a compute, is not part of this one.
    ended = result["finished"] * 1_000_000
    before_end = [event for event in events_by_id.values() if event["occurred_at"] <= ended]
    return [_reduced(event) for event in sorted(before_end, key=lambda one: (one["occurred_at"], one["event_id"]))]


def _reduced(event: Event) -> Event:
    reduced = {name: value for name, value in event.items() if name not in _OMITTED and value not in (None, {}, [])}
    if event["failure"] is not None:
        reduced["failure"] = event["failure"] | {"traceback": None}
    return reduced


def _filled(events: Iterable[Event]) -> tuple[Event, ...]:
    return tuple({**_EMPTY, **event} for event in events)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["kind"] == "notification":
                yield record
