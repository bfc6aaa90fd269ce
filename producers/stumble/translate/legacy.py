"""Translates legacy (unversioned) notifications: dictionaries without a schema, Nova's default format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stumble.translate import external, fields
from stumble.translate.build import Event, SignalId, build_event, build_snapshot, move_side
from stumble.translate.failure import EXTERNAL_EVENT, FailureSighting, legacy_failure
from stumble.translate.names import (
    COMPUTE_TASKS,
    DROPPED,
    DROPPED_FAMILIES,
    INSTANCE_SIGNALS,
    LEGACY_SIGNALS,
    NO_ACTION_METHODS,
    RESIZE_ERROR,
    STEP_ACTIONS,
    Meaning,
    step_of_method,
)
from stumble.translate.skip import NO_INSTANCE, NOT_AN_ACTION, UNKNOWN, Skipped

Data = Mapping[str, Any]

_WRAPPED = {"exception", "args"}
#: Arguments of a manager's method with the id of its target resource.
_TARGET_ARGS = (
    ("volume", "volume_id"),
    ("volume", "old_volume_id"),
    ("port", "port_id"),
    ("share", "share_id"),
)


def name_of(event_type: str, payload: Data) -> str:
    """Return the versioned name of a legacy signal. Raises ``Skipped`` if it concerns no action."""
    if event_type in LEGACY_SIGNALS:
        return LEGACY_SIGNALS[event_type][0]
    if event_type in DROPPED or event_type.startswith(DROPPED_FAMILIES):
        raise Skipped(NOT_AN_ACTION)
    if set(payload) == _WRAPPED:
        if event_type in NO_ACTION_METHODS:
            raise Skipped(NOT_AN_ACTION)
        return "exception"
    raise Skipped(UNKNOWN)


def events(signal: SignalId, payload: Data, ctxt: Data, failing: external.Failing | None = None) -> list[Event]:
    """Return the events of a legacy notification: one, or one per instance of a failed call. Raises ``Skipped``.

    ``failing``: the external event at which a call for several events failed, if known.
    """
    if signal.name == "exception":
        return _exceptions(signal, payload, ctxt, failing)
    if signal.name.startswith("compute_task."):
        return [_compute_task(signal, payload, ctxt)]
    return [_instance(signal, payload, ctxt)]


def _instance(signal: SignalId, payload: Data, ctxt: Data) -> Event:
    uuid = fields.uuid(payload.get("instance_id"))
    if uuid is None:
        raise Skipped(NO_INSTANCE)
    name = signal.name.partition(".")[2]
    phase = LEGACY_SIGNALS[signal.event_type or ""][1]
    meaning = INSTANCE_SIGNALS.get(name, Meaning())
    if name == "resize" and phase == "ERROR":
        meaning = RESIZE_ERROR
    volume = fields.text(payload.get("volume_id"))
    new_flavor = fields.text(payload.get("new_instance_type"))
    return build_event(
        signal,
        ctxt,
        phase=phase,
        scope="INSTANCE" if name == "update" else "STEP",
        instance_uuid=uuid,
        action=meaning.action,
        step=meaning.step,
        owner_project_id=fields.text(payload.get("tenant_id")),
        availability_zone=fields.text(payload.get("availability_zone")),
        node=fields.text(payload.get("node")),
        target_kind="volume" if volume else None,
        target_id=volume,
        instance=_snapshot(payload),
        failure=legacy_failure(payload) if phase == "ERROR" else None,
        old_flavor=fields.text(payload.get("instance_type")) if name == "resize_prep" else None,
        new_flavor=new_flavor,
        **move_side(meaning.side, signal.host, fields.text(payload.get("host"))),
    )


def _snapshot(payload: Data) -> dict[str, str | None] | None:
    image = fields.text(fields.mapping(payload.get("image_meta")).get("base_image_ref"))
    return build_snapshot(
        vm_state=fields.text(payload.get("state")),
        task_state=fields.text(payload.get("new_task_state" if "new_task_state" in payload else "state_description")),
        old_vm_state=fields.text(payload.get("old_state")),
        old_task_state=fields.text(payload.get("old_task_state")),
        display_name=fields.text(payload.get("display_name")),
        flavor=fields.text(payload.get("instance_type")),
        image=fields.uuid(image),
    )


def _compute_task(signal: SignalId, payload: Data, ctxt: Data) -> Event:
    uuid = fields.uuid(payload.get("instance_id"))
    if uuid is None:
        raise Skipped(NO_INSTANCE)
    properties = fields.data(payload.get("instance_properties"))
    meaning = COMPUTE_TASKS.get(signal.name.partition(".")[2], Meaning())
    return build_event(
        signal,
        ctxt,
        phase="ERROR",
        scope="REQUEST",
        instance_uuid=uuid,
        action=meaning.action,
        step=meaning.step,
        owner_project_id=fields.text(properties.get("project_id")),
        availability_zone=fields.text(properties.get("availability_zone")),
        failure=legacy_failure(payload, key="reason"),
        instance=build_snapshot(
            vm_state=fields.text(payload.get("state")),
            display_name=fields.text(properties.get("display_name")),
        ),
    )


def _exceptions(signal: SignalId, payload: Data, ctxt: Data, failing: external.Failing | None) -> list[Event]:
    """Translate a notification of ``wrap_exception``: a manager's method failed, for one instance or several."""
    method = signal.event_type or ""
    args = fields.mapping(payload.get("args"))
    failure = legacy_failure(payload)
    if method == EXTERNAL_EVENT:
        message = None if failure is None else failure.record["message"]
        position, instance, known = external.failed_at(args, message, failing)
        return [_exception(signal, ctxt, failure, instance, position, **known)]
    step = step_of_method(method, signal.service)
    known = {"step": step, "action": STEP_ACTIONS.get(step or "")} | _target(args)
    instances = [args.get("instance")] if "instance" in args else external.listed(args.get("instances"))
    result = [
        _exception(signal, ctxt, failure, fields.data(instance), position, **known)
        for position, instance in enumerate(instances)
        if external.uuid_of(instance)
    ]
    if not result:
        raise Skipped(NO_INSTANCE)
    return result


def _exception(
    signal: SignalId,
    ctxt: Data,
    failure: FailureSighting | None,
    instance: Data,
    position: int,
    **known: Any,
) -> Event:
    flavor = fields.data(instance.get("flavor"))
    return build_event(
        signal,
        ctxt,
        phase="ERROR",
        scope="STEP",
        position=position,
        instance_uuid=external.uuid_of(instance),
        owner_project_id=fields.text(instance.get("project_id")),
        availability_zone=fields.text(instance.get("availability_zone")),
        node=fields.text(instance.get("node")),
        failure=failure,
        instance=build_snapshot(
            vm_state=fields.text(instance.get("vm_state")),
            task_state=fields.text(instance.get("task_state")),
            display_name=fields.text(instance.get("display_name")),
            flavor=fields.text(flavor.get("name")),
            image=fields.text(instance.get("image_ref")),
        ),
        **known,
    )


def _target(args: Data) -> Event:
    inner = [args, *(fields.data(args.get(name)) for name in ("bdm", "share_mapping"))]
    for kind, key in _TARGET_ARGS:
        for holder in inner:
            if target := fields.text(external.field(holder, key)):
                return {"target_kind": kind, "target_id": target}
    return {}
