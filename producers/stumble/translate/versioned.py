"""Translates versioned notifications: ``nova_object`` payloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stumble.translate import fields
from stumble.translate.build import Event, SignalId, build_event, build_snapshot, move_side
from stumble.translate.failure import EXTERNAL_EVENT, method_of, versioned_failure
from stumble.translate.names import (
    COMPUTE_TASKS,
    DROPPED,
    DROPPED_FAMILIES,
    INSTANCE_SIGNALS,
    NO_ACTION_METHODS,
    RESIZE_ERROR,
    Meaning,
    step_of_method,
)
from stumble.translate.skip import MALFORMED, NO_INSTANCE, NOT_AN_ACTION, UNKNOWN, Skipped

Data = Mapping[str, Any]

_PHASES = {"start": "START", "progress": "PROGRESS", "end": "END", "error": "ERROR"}
_EXCEPTION = "compute.exception"


def name_of(event_type: str, payload: Data) -> str:
    """Return the signal's name: the event type without its phase. Raises ``Skipped`` if it concerns no action."""
    del payload
    if event_type == _EXCEPTION:
        return "exception"
    if event_type in DROPPED or event_type.startswith(DROPPED_FAMILIES):
        raise Skipped(NOT_AN_ACTION)
    name, _ = _split(event_type)
    family = name.partition(".")[0]
    if family not in ("instance", "compute_task"):
        raise Skipped(UNKNOWN)
    return name


def _split(event_type: str) -> tuple[str, str]:
    name, _, phase = event_type.rpartition(".")
    if phase in _PHASES and "." in name:
        return name, _PHASES[phase]
    return event_type, "PROGRESS"


def events(signal: SignalId, payload: Data, ctxt: Data) -> list[Event]:
    """Return the one event of a versioned notification. Raises ``Skipped``."""
    result = payload.get("nova_object.data")
    if not isinstance(result, Mapping):
        raise Skipped(MALFORMED)
    if signal.name == "exception":
        return [_exception(signal, result, ctxt)]
    if signal.name.startswith("compute_task."):
        return [_compute_task(signal, result, ctxt)]
    return [_instance(signal, result, ctxt)]


def _exception(signal: SignalId, result: Data, ctxt: Data) -> Event:
    """Translate ``compute.exception``, which names no instance; consumers assign it by request id."""
    if signal.service == "nova-api":  # for aggregates, key pairs and hosts, never for an instance
        raise Skipped(NOT_AN_ACTION)
    failure = versioned_failure(result)
    if failure is None:
        raise Skipped(MALFORMED)
    method = method_of(fields.text(result.get("traceback")))
    if method and (method[1] in NO_ACTION_METHODS or method[1] == EXTERNAL_EVENT):
        raise Skipped(NOT_AN_ACTION)
    step = step_of_method(method[1], method[0]) if method else None
    return build_event(signal, ctxt, phase="ERROR", scope="STEP", step=step, failure=failure)


def _compute_task(signal: SignalId, result: Data, ctxt: Data) -> Event:
    uuid = fields.uuid(result.get("instance_uuid"))
    if uuid is None:
        raise Skipped(NO_INSTANCE)
    spec = fields.data(result.get("request_spec"))
    meaning = COMPUTE_TASKS.get(signal.name.partition(".")[2], Meaning())
    return build_event(
        signal,
        ctxt,
        phase=_split(signal.event_type or "")[1],
        scope="REQUEST",
        instance_uuid=uuid,
        action=meaning.action,
        step=meaning.step,
        owner_project_id=fields.text(spec.get("project_id")),
        availability_zone=fields.text(spec.get("availability_zone")),
        failure=versioned_failure(result.get("reason")),
        instance=build_snapshot(
            vm_state=fields.text(result.get("state")),
            flavor=fields.text(fields.data(spec.get("flavor")).get("name")),
            image=fields.text(fields.data(spec.get("image")).get("id")),
        ),
    )


def _instance(signal: SignalId, result: Data, ctxt: Data) -> Event:
    uuid = fields.uuid(result.get("uuid"))
    if uuid is None:
        raise Skipped(NO_INSTANCE)
    name = signal.name.partition(".")[2]
    phase = _split(signal.event_type or "")[1]
    meaning = INSTANCE_SIGNALS.get(name, Meaning())
    if name == "resize" and phase == "ERROR":
        meaning = RESIZE_ERROR
    if name == "rebuild_scheduled":  # the publisher is the chosen compute, though the conductor sends
        signal, chosen = signal._replace(host=None), signal.host
    else:
        chosen = None
    local_delete = signal.service == "nova-api" and name in ("delete", "soft_delete")  # outside of Nova's steps
    return build_event(
        signal,
        ctxt,
        phase=phase,
        scope="INSTANCE" if name == "update" else "STEP",
        instance_uuid=uuid,
        action=meaning.action,
        step=None if local_delete else meaning.step,
        **_who(result, ctxt),
        **_where(result, meaning, signal.host, chosen),
        **_target(result),
        instance=_snapshot(result),
        failure=versioned_failure(result.get("fault")),
        old_flavor=fields.text(fields.data(result.get("flavor")).get("name")) if name == "resize_prep" else None,
        new_flavor=fields.text(fields.data(result.get("new_flavor")).get("name")),
        attributes=_attributes(result),
    )


def _who(result: Data, ctxt: Data) -> Event:
    return {
        "request_id": fields.text(result.get("request_id")) or fields.text(ctxt.get("request_id")),
        "owner_project_id": fields.text(result.get("tenant_id")),
        "initiator_user_id": fields.text(result.get("action_initiator_user")),
        "initiator_project_id": fields.text(result.get("action_initiator_project")),
    }


def _where(results: Data, meaning: Meaning, host: str | None, chosen: str | None) -> Event:
    result: Event = {
        "availability_zone": fields.text(results.get("availability_zone")),
        "node": fields.text(results.get("node")),
        "dest_host": chosen,
    }
    return result | move_side(meaning.side, host, fields.text(results.get("host")))


def _target(result: Data) -> Event:
    for kind, key in (("volume", "volume_id"), ("volume", "old_volume_id"), ("share", "share_id")):
        if target := fields.text(result.get(key)):
            return {"target_kind": kind, "target_id": target}
    return {}


def _snapshot(result: Data) -> dict[str, str | None] | None:
    update = fields.data(result.get("state_update"))
    return build_snapshot(
        vm_state=fields.text(update.get("state")) or fields.text(result.get("state")),
        task_state=fields.text(update["new_task_state"] if "new_task_state" in update else result.get("task_state")),
        power_state=fields.text(result.get("power_state")),
        old_vm_state=fields.text(update.get("old_state")),
        old_task_state=fields.text(update.get("old_task_state")),
        display_name=fields.text(result.get("display_name")),
        flavor=fields.text(fields.data(result.get("flavor")).get("name")),
        image=fields.text(result.get("image_uuid")),
    )


def _attributes(result: Data) -> dict[str, str] | None:
    known = {key: fields.text(result.get(key)) for key in ("new_volume_id", "snapshot_image_id", "rescue_image_ref")}
    return {key: value for key, value in known.items() if value} or None
