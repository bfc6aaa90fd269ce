"""The truth about requests, from the simulator alone: this module reads neither events nor code of the consumers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from stumble.wire.ids import failure_id, request_key


@dataclass(frozen=True, slots=True)
class TrueFailure:
    """One failure: its id, the host where it was raised, its class."""

    failure_id: str
    host: str
    exception: str


@dataclass(frozen=True, slots=True)
class Truth:
    """The true outcome of one request; `story` names its story, `events` counts its distinct events."""

    request_key: str
    instance_uuid: str
    request_id: str
    action: str
    outcome: str
    verdict: str | None
    effect: str
    failures: tuple[TrueFailure, ...]
    story: str
    events: int

    def line(self) -> str:
        """Return the truth as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)


def true_failure(key: str, host: str, exception: str) -> TrueFailure:
    """Return a failure, with its id, of the request with this key."""
    return TrueFailure(failure_id(key, host, exception), host, exception)


def key_of(instance_uuid: str, request_id: str, action: str, target_id: str | None = None) -> str:
    """Return the key of a request."""
    return request_key(instance_uuid, request_id, action, target_id)
