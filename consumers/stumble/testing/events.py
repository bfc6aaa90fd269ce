"""Events as records and as Kafka values."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from stumble.wire import codec
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import EVENT

NOW_US = time.time_ns() // 1000


def event(**fields: Any) -> dict[str, Any]:
    """Return one event of a stop, `at` seconds from now; a field that is given replaces the default."""
    at = NOW_US + int(fields.pop("at", 0) * 1_000_000)
    defaults: dict[str, Any] = {
        "event_id": new_event_id(at),
        "occurred_at": at,
        "emitted_at": at,
        "action": "stop",
        "phase": "START",
        "scope": "REQUEST",
        "instance_uuid": "11111111-1111-4111-8111-111111111111",
        "request_id": "req-1",
        "initiator_user_id": "u1",
        "initiator_project_id": "p1",
        "owner_project_id": "p1",
        "service": "nova-compute",
        "host": "host-1",
    }
    defaults["source"] = {"kind": "TAP", "signal": fields.pop("signal", "action_start")}
    return defaults | fields


def failure(exception: str = "InstancePowerOffFailure", message: str = "it broke") -> dict[str, Any]:
    """Return the `failure` field of an event."""
    return {"exception": exception, "message": message, "reason": message, "blame": "UNKNOWN"}


def framed(record: Mapping[str, Any]) -> bytes:
    """Return the Kafka value of an event."""
    return codec.frame_single_object(EVENT, codec.encode_record(EVENT, record))


def decoded(**fields: Any) -> dict[str, Any]:
    """Return an event as a consumer decodes it: with every field of the schema."""
    return codec.decode_record(EVENT, codec.encode_record(EVENT, event(**fields)))
