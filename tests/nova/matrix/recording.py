"""Recordings: all signals of one release of Nova, by scenario, as files that tests read.

A run of the harness has the driver enabled, with its tap and both notification formats. Its signals are recorded as the
driver receives them, before they are translated, so a change of the translation needs no new recording; a change of
what the tap observes does. The signals of every other way are a part of that run's signals (`ways`). A recording
contains nothing of the machine that it was made on.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novaharness.scenarios import SCENARIOS
from novaharness.vocabulary import GIVEN, Scenario

from tests.nova.matrix.signals import Event, Signal, bridge_events, driver_events
from tests.nova.offline import events_of

FOLDER = Path(__file__).resolve().parents[1] / "recordings"
RELEASES = ("31.3.1", "33.0.2", "34.0.0")

_RESULT_FIELDS = ("scenario", "request_id", "server", "alone", "status", "nova", "nova_server")
#: Fields of an event that the emitter or the driver's configuration fills in.
_CONFIGURED = ("emitted_at", "labels", "hypervisor_type", "cell", "region", "cloud")


@dataclass(frozen=True)
class Played:
    """One played scenario: Nova's own view of it, and the events that driver and bridge make of its signals."""

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


def stale(recorded: Mapping[str, str]) -> list[str]:
    """Return the names of the scenarios that are not recorded, or in an older version; `recorded` has their hashes."""
    return [name for name, expected_hash in HASHES.items() if recorded.get(name) != expected_hash]


def path_of(release: str) -> Path:
    """Return the file of a release's recording."""
    return FOLDER / f"{release}.jsonl.xz"


def read(release: str) -> Recording:
    """Read a recording, and translate its signals. Raises FileNotFoundError if there is none."""
    tap, rows = _rows(release)
    return Recording(release, tap, tuple(_played(row) for row in rows))


def hashes_in(release: str) -> dict[str, str]:
    """Return the hash of each scenario in a release's recording; empty if there is none."""
    return {row["scenario"]: row["played"] for row in _rows(release)[1]} if path_of(release).exists() else {}


def text_of(release: str) -> str:
    """Return the whole text of a recording."""
    with lzma.open(path_of(release), "rt", encoding="utf-8") as lines:
        return lines.read()


def _played(row: dict[str, Any]) -> Played:
    signals = row.pop("signals")
    return Played(**row, driver=tuple(driver_events(signals)), bridge=tuple(bridge_events(signals)))


def _rows(release: str) -> tuple[str, list[dict[str, Any]]]:
    with lzma.open(path_of(release), "rt", encoding="utf-8") as lines:
        head = json.loads(next(lines))
        return head["tap"], [json.loads(line) for line in lines]


def write(release: str, tap: str, outbox: Path, signals: Path, results: Sequence[dict[str, Any]]) -> Path:
    """Add a run to the recording of its release; `results` are the harness's. Returns its path.

    Scenarios that the run did not play stay; those that are not in the table any more are removed. Raises
    RecordingError if the recorded signals do not give the events that the driver wrote to its outbox.
    """
    path = path_of(release)
    path.parent.mkdir(exist_ok=True)
    rows = {row["scenario"]: row for row in _rows(release)[1]} if path.exists() else {}
    by_scenario = _by_scenario(signals)
    require_same_events(by_scenario, events_of(outbox))
    for result in results:
        name = result["scenario"]
        played = [one for one in by_scenario[name] if one.pop("t") <= result["finished"]]
        rows[name] = {
            **{field: result[field] for field in _RESULT_FIELDS},
            "played": HASHES[name],
            "signals": played,
        }
    new = path.with_suffix(".new")
    with lzma.open(new, "wt", encoding="utf-8", preset=9 | lzma.PRESET_EXTREME) as out:
        out.write(json.dumps({"tap": tap}) + "\n")
        for name in HASHES:
            if name in rows:
                out.write(json.dumps(rows[name], sort_keys=True) + "\n")
    new.replace(path)
    return path


class RecordingError(Exception):
    """A recording is not what the driver saw."""


def require_same_events(by_scenario: Mapping[str, Iterable[Signal]], emitted: Iterable[Event]) -> None:
    """Raise RecordingError unless the signals give the events that the driver emitted."""
    signals = [signal for of_scenario in by_scenario.values() for signal in of_scenario]
    derived = {event["event_id"]: _comparable(event) for event in driver_events(signals)}
    outbox = {event["event_id"]: _comparable(event) for event in emitted}
    different = [one for one in derived.keys() | outbox.keys() if derived.get(one) != outbox.get(one)]
    if different:
        first = different[0]
        raise RecordingError(f"{len(different)} events differ: {outbox.get(first)} became {derived.get(first)}")


def _comparable(event: Event) -> Event:
    """Return what does not depend on the configuration, without the tracebacks inside texts: they contain paths."""
    compared = {name: value for name, value in event.items() if name not in _CONFIGURED}
    if event["failure"] is not None:
        texts = {name: (event["failure"][name] or "").partition("Traceback")[0] for name in ("reason", "message")}
        compared["failure"] = {**event["failure"], **texts, "traceback": None}
    return compared


def _by_scenario(path: Path) -> dict[str, list[Signal]]:
    """Return the signals of each scenario, those of its preparation included."""
    by_scenario: dict[str, list[Signal]] = defaultdict(list)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            signal = json.loads(line)
            by_scenario[signal.pop("scenario").removeprefix("given ")].append(signal)
    return by_scenario
