"""Builds events: ids, context, source, and a key for each field of the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stumble.translate import fields
from stumble.translate.failure import FailureSighting
from stumble.wire.ids import derived_event_id
from stumble.wire.schemas import EVENT

Event = dict[str, Any]

#: Filled by the emitter, since the translation does not read a host's configuration.
EMITTER_FIELDS = ("emitted_at", "cell", "region", "cloud", "labels")

_EMPTY_EVENT: Event = {field["name"]: None for field in EVENT.parsed["fields"] if field["name"] not in EMITTER_FIELDS}

_EMPTY_SNAPSHOT: Event = dict.fromkeys(
    ("vm_state", "task_state", "power_state", "old_vm_state", "old_task_state", "display_name", "flavor", "image")
)


class SignalId(NamedTuple):
    """Identity of a signal: its events' ids are computed from these fields."""

    kind: str
    event_type: str | None
    name: str
    message_id: str
    publisher: str
    occurred_at: int
    service: str | None
    host: str | None


def build_event(
    signal: SignalId,
    context: Mapping[str, Any],
    *,
    phase: str,
    scope: str,
    position: int = 0,
    failure: FailureSighting | None = None,
    **known: Any,
) -> Event:
    """Return an event of ``signal``; ``known`` are further fields of the schema; None means unknown.

    The attribute ``remote`` marks the failure of an exception that crossed RPC.
    """
    result = dict(_EMPTY_EVENT)
    result.update(
        event_id=derived_event_id(signal.occurred_at, signal.publisher, signal.message_id, position),
        occurred_at=signal.occurred_at,
        phase=phase,
        scope=scope,
        request_id=fields.text(context.get("request_id")),
        global_request_id=fields.text(context.get("global_request_id")),
        initiator_user_id=fields.text(context.get("user_id")),
        initiator_project_id=fields.text(context.get("project_id")),
        service=signal.service,
        host=signal.host,
        source={
            "kind": signal.kind,
            "event_type": signal.event_type,
            "signal": signal.name,
            "message_id": signal.message_id,
            "publisher": signal.publisher,
            "position": position,
        },
        attributes={},
    )
    result.update((name, value) for name, value in known.items() if value is not None)
    if failure is not None:
        result["failure"] = failure.record
        if failure.remote:
            result["attributes"] = {**result["attributes"], "remote": "true"}
    return result


def build_snapshot(**known: str | None) -> Event | None:
    """Return an instance snapshot with the known fields, or None if all are empty."""
    if not any(known.values()):
        return None
    return {**_EMPTY_SNAPSHOT, **known}


def move_side(side: str | None, host: str | None, instance_host: str | None) -> Event:
    """Return source and destination host of a move, as far as the sender's role shows them."""
    if side == "source":
        return {"source_host": host}
    if side == "dest":
        other = instance_host if instance_host != host else None
        return {"dest_host": host, "source_host": other}
    return {}
