"""The ways of signals into stumble, and what each leads to: the recording without the signals that it doesn't have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from stumble.outcome.derive import derive_requests
from stumble.outcome.facts import Fact, fact_of
from tests.nova.matrix.recording import Event, Played


@dataclass(frozen=True)
class Way:
    """One way: who sends the signals, and which kinds there are."""

    key: str
    title: str
    by: str
    """`driver` or `bridge`."""
    kinds: frozenset[str]


def _way(key: str, title: str, by: str, *kinds: str) -> Way:
    return Way(key, title, by, frozenset(kinds))


DEFAULT = _way("driver", "driver, one line in nova.conf", "driver", "LEGACY", "TAP")
WAYS: tuple[Way, ...] = (
    DEFAULT,
    _way("driver-versioned", "driver, `notification_format = versioned`", "driver", "VERSIONED", "TAP"),
    _way("driver-both", "driver, `notification_format = both`", "driver", "VERSIONED", "LEGACY", "TAP"),
    _way("untapped", "driver, `tap = false`, `notification_format = both`", "driver", "VERSIONED", "LEGACY"),
    _way("bridge-versioned", "bridge, `notification_format = versioned`", "bridge", "VERSIONED"),
    _way("bridge-legacy", "bridge, `notification_format = unversioned`", "bridge", "LEGACY"),
    _way("bridge-both", "bridge, `notification_format = both`", "bridge", "VERSIONED", "LEGACY"),
)
TAPPED = tuple(way for way in WAYS if "TAP" in way.kinds)


def sees_more(richer: Way, poorer: Way) -> bool:
    """Return whether one way has every signal of another and more; a driver sees what a bridge does of each signal."""
    same_or_closer = richer.by in (poorer.by, "driver")
    return richer != poorer and same_or_closer and poorer.kinds <= richer.kinds


def events_by(way: Way, played: Played) -> list[Event]:
    """Return the events of a scenario by one way."""
    return [event for event in getattr(played, way.by) if event["source"]["kind"] in way.kinds]


def items_by(way: Way, played: Played) -> list[dict[str, Any]]:
    """Return stumble's records of a scenario's request by one way, with the fields that the API shows."""
    return items(events_by(way, played), played)


def items(events: Iterable[Event], played: Played) -> list[dict[str, Any]]:
    """Return the derived requests of a scenario's request id."""
    facts: dict[str, list[Fact]] = defaultdict(list)
    known: dict[str, set[str]] = defaultdict(set)
    without_instance: list[Event] = []
    for event in events:
        if event["instance_uuid"]:
            facts[event["instance_uuid"]].append(fact_of(event))
            known[event["request_id"] or ""].add(event["instance_uuid"])
        elif event["failure"] is not None and event["request_id"]:
            without_instance.append(event)
    for event in without_instance:  # as the projector does: a sighting fits if one instance alone knows its request id
        candidates = known[event["request_id"]]
        if len(candidates) == 1:
            facts[next(iter(candidates))].append(fact_of(event))
    instances = [instance for instance in facts if instance == played.server or not played.alone]
    records = (record for instance in instances for record in derive_requests(instance, facts[instance]))
    return [asdict(record) for record in records if record.request_id == played.request_id]
