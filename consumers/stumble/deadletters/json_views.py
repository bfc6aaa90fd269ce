"""Dead letters and results of redrives as JSON, the same over HTTP and on the command line."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from stumble.runtime.times import from_micros, from_millis, rfc3339

if TYPE_CHECKING:
    from stumble.deadletters.dead_letter import DeadLetter
    from stumble.deadletters.service import ListedDeadLetter, RedriveResult
    from stumble.deadletters.stats import DeadLetterGroup, DeadLetterStats


def brief(entry: ListedDeadLetter) -> dict[str, Any]:
    """Return a dead letter as an item of a list."""
    dead_letter, origin = entry.dead_letter, entry.dead_letter.origin
    event = entry.seen.event or {}
    return {
        "partition": dead_letter.record_id.partition,
        "offset": dead_letter.record_id.offset,
        "at": moment(dead_letter.at),
        "state": entry.state,
        "stage": dead_letter.stage,
        "exception": dead_letter.exception,
        "reason": dead_letter.reason,
        "replays": dead_letter.replays,
        "first_seen": dead_letter.first_seen or None,
        "redriven_at": rfc3339(entry.mark.last_at) if entry.mark else None,
        "outlook": entry.seen.outlook,
        "outlook_reason": entry.seen.why,
        "action": entry.seen.action,
        "event_id": event.get("event_id"),
        "instance_uuid": event.get("instance_uuid"),
        "request_id": event.get("request_id"),
        "key": text(dead_letter.key),
        "bytes": len(dead_letter.value or b""),
        "schema_claimed": dead_letter.schema or None,
        "origin": {
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "timestamp": moment(origin.timestamp),
        }
        if origin
        else None,
    }


def whole(entry: ListedDeadLetter) -> dict[str, Any]:
    """Return a dead letter with its event, if it can be decoded, and its original bytes in base64."""
    dead_letter = entry.dead_letter
    event = entry.seen.event
    return {**brief(entry), "event": readable(event) if event is not None else None, **raw(dead_letter)}


def raw(dead_letter: DeadLetter) -> dict[str, Any]:
    """Return a record byte for byte; headers in their order, a name may occur twice."""
    return {
        "key_base64": _base64(dead_letter.key),
        "value_base64": _base64(dead_letter.value),
        "headers": [
            {"name": name, "text": text(value if isinstance(value, bytes) else None), "base64": _base64(value)}
            for name, value in dead_letter.headers
        ],
        "headers_unreadable": dead_letter.headers_unreadable,
    }


def outcome(item: RedriveResult) -> dict[str, Any]:
    """Return what a redrive did, or would do, with a dead letter."""
    return {"done": item.done, "why": item.why, **brief(item.entry)}


def statistics(result: DeadLetterStats) -> dict[str, Any]:
    """Return the numbers of dead letters by reason."""
    reasons = [
        {"stage": reason.stage, "exception": reason.exception, "message": reason.message, **_group(group)}
        for reason, group in result.by_count()
    ]
    return {"total": _group(result.total), "reasons": reasons}


def _group(group: DeadLetterGroup) -> dict[str, Any]:
    return {
        "count": group.count,
        "states": dict(group.states),
        "outlooks": dict(group.outlooks),
        "actions": dict(group.actions.most_common()),
        "partitions": {str(partition): count for partition, count in sorted(group.partitions.items())},
        "first_at": moment(group.first_at),
        "last_at": moment(group.last_at),
        "example": str(group.example) if group.example else None,
    }


def moment(milliseconds: int | None) -> str | None:
    """Return Kafka's time as ISO 8601; None if there is none."""
    time = from_millis(milliseconds)
    return rfc3339(time) if time else None


def text(value: bytes | None) -> str | None:
    """Return bytes as text; invalid bytes become replacement characters."""
    return None if value is None else value.decode("utf-8", "replace")


def readable(value: Any, name: str = "") -> Any:
    """Return an event with its times in ISO 8601; other values stay as they are."""
    if isinstance(value, dict):
        return {key: readable(each, key) for key, each in value.items()}
    if name.endswith("_at") and isinstance(value, int):
        time = from_micros(value)
        return rfc3339(time) if time else value
    return value


def _base64(value: bytes | str | None) -> str | None:
    if value is None:
        return None
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
