"""Legacy (unversioned) notifications: free dictionaries, Nova's default format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stumble.producers.translate import fields
from stumble.producers.translate.build import Event, Signal, event, move_side, snapshot
from stumble.producers.translate.failure import EXTERNAL_EVENT, Failure, legacy_failure
from stumble.producers.translate.mask import Mask
from stumble.producers.translate.names import (
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
from stumble.producers.translate.skip import NO_INSTANCE, NOT_AN_ACTION, UNKNOWN, Skipped

Data = Mapping[str, Any]

_WRAPPED = {"exception", "args"}
#: More instances of one call are not looked at.
_MAX_INSTANCES = 256
#: Arguments of a manager's method that name the resource it works on.
_TARGET_ARGS = (
    ("volume", "volume_id"),
    ("volume", "old_volume_id"),
    ("port", "port_id"),
    ("share", "share_id"),
)
#: The few fields that are read from an object's ``repr``: ``InstanceExternalEvent(instance_uuid=…,name='…',tag='…')``.
_REPR_FIELD = re.compile(r"[(,](instance_uuid|name|tag|uuid)='?([\w.:-]{1,255})")
_EXTENDED = "volume-extended"
_ACTING_EVENTS = (_EXTENDED, "power-update")


def name_of(event_type: str, payload: Data) -> str:
    """Return the versioned name of a legacy signal. Raises ``Skipped`` for what is no action."""
    if event_type in LEGACY_SIGNALS:
        return LEGACY_SIGNALS[event_type][0]
    if event_type in DROPPED or event_type.startswith(DROPPED_FAMILIES):
        raise Skipped(NOT_AN_ACTION)
    if set(payload) == _WRAPPED:
        if event_type in NO_ACTION_METHODS:
            raise Skipped(NOT_AN_ACTION)
        return "exception"
    raise Skipped(UNKNOWN)


def events(signal: Signal, payload: Data, ctxt: Data, mask: Mask) -> list[Event]:
    """Return the events of a legacy notification: one, or one an instance of a failed call. Raises ``Skipped``."""
    if signal.name == "exception":
        return _exceptions(signal, payload, ctxt, mask)
    if signal.name.startswith("compute_task."):
        return [_compute_task(signal, payload, ctxt, mask)]
    return [_instance(signal, payload, ctxt, mask)]


def _instance(signal: Signal, payload: Data, ctxt: Data, mask: Mask) -> Event:
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
    return event(
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
        failure=legacy_failure(payload, mask) if phase == "ERROR" else None,
        old_flavor=fields.text(payload.get("instance_type")) if name == "resize_prep" else None,
        new_flavor=new_flavor,
        **move_side(meaning.side, signal.host, fields.text(payload.get("host"))),
    )


def _snapshot(payload: Data) -> dict[str, str | None] | None:
    image = fields.text(fields.mapping(payload.get("image_meta")).get("base_image_ref"))
    return snapshot(
        vm_state=fields.text(payload.get("state")),
        task_state=fields.text(payload.get("new_task_state" if "new_task_state" in payload else "state_description")),
        old_vm_state=fields.text(payload.get("old_state")),
        old_task_state=fields.text(payload.get("old_task_state")),
        display_name=fields.text(payload.get("display_name")),
        flavor=fields.text(payload.get("instance_type")),
        image=fields.uuid(image),
    )


def _compute_task(signal: Signal, payload: Data, ctxt: Data, mask: Mask) -> Event:
    uuid = fields.uuid(payload.get("instance_id"))
    if uuid is None:
        raise Skipped(NO_INSTANCE)
    properties = fields.data(payload.get("instance_properties"))
    meaning = COMPUTE_TASKS.get(signal.name.partition(".")[2], Meaning())
    return event(
        signal,
        ctxt,
        phase="ERROR",
        scope="REQUEST",
        instance_uuid=uuid,
        action=meaning.action,
        step=meaning.step,
        owner_project_id=fields.text(properties.get("project_id")),
        availability_zone=fields.text(properties.get("availability_zone")),
        failure=legacy_failure(payload, mask, key="reason"),
        instance=snapshot(
            vm_state=fields.text(payload.get("state")),
            display_name=fields.text(properties.get("display_name")),
        ),
    )


def _exceptions(signal: Signal, payload: Data, ctxt: Data, mask: Mask) -> list[Event]:
    """Translate what ``wrap_exception`` announces: a manager's method failed, for one instance or several."""
    method = signal.event_type or ""
    args = fields.mapping(payload.get("args"))
    failure = legacy_failure(payload, mask)
    if method == EXTERNAL_EVENT:
        found = [
            _exception(signal, ctxt, failure, instance, position, **_external(kind, tag))
            for position, (instance, kind, tag) in enumerate(_external_targets(args))
        ]
    else:
        step = step_of_method(method, signal.service)
        known = {"step": step, "action": STEP_ACTIONS.get(step or "")} | _target(args)
        instances = [args.get("instance")] if "instance" in args else _listed(args.get("instances"))
        found = [
            _exception(signal, ctxt, failure, fields.data(instance), position, **known)
            for position, instance in enumerate(instances)
            if _uuid_of(instance)
        ]
    if not found:
        raise Skipped(NO_INSTANCE)
    return found


def _exception(
    signal: Signal,
    ctxt: Data,
    failure: Failure | None,
    instance: Data,
    position: int,
    **known: Any,
) -> Event:
    flavor = fields.data(instance.get("flavor"))
    return event(
        signal,
        ctxt,
        phase="ERROR",
        scope="STEP",
        position=position,
        instance_uuid=_uuid_of(instance),
        owner_project_id=fields.text(instance.get("project_id")),
        availability_zone=fields.text(instance.get("availability_zone")),
        node=fields.text(instance.get("node")),
        failure=failure,
        instance=snapshot(
            vm_state=fields.text(instance.get("vm_state")),
            task_state=fields.text(instance.get("task_state")),
            display_name=fields.text(instance.get("display_name")),
            flavor=fields.text(flavor.get("name")),
            image=fields.text(instance.get("image_ref")),
        ),
        **known,
    )


def _uuid_of(instance: Any) -> str | None:
    return fields.uuid(fields.data(instance).get("uuid"))


def _listed(value: Any) -> list[Any]:
    """Return the items of a list of objects, however it was serialised."""
    if isinstance(value, Mapping):
        value = fields.data(value).get("objects")
    return list(value[:_MAX_INSTANCES]) if isinstance(value, list | tuple) else []


def _target(args: Data) -> Event:
    inner = [args, *(fields.data(args.get(name)) for name in ("bdm", "share_mapping"))]
    for kind, key in _TARGET_ARGS:
        for place in inner:
            if target := fields.text(_field(place, key)):
                return {"target_kind": kind, "target_id": target}
    return {}


def _external(kind: str | None, tag: str | None) -> Event:
    if kind == _EXTENDED:
        return {
            "action": "extend_volume",
            "step": "compute_extend_volume",
            "target_kind": "volume",
            "target_id": tag,
        }
    return {"step": "compute_power_update"} if kind in _ACTING_EVENTS else {}


def _external_targets(args: Data) -> Iterator[tuple[Data, str | None, str | None]]:
    """Yield (instance, event name, tag) of each external event, or each instance where the events tell nothing.

    Events that start no action (``network-changed``) are left out. Raises ``Skipped`` where all are such.
    """
    instances = [_object(item) for item in _listed(args.get("instances"))]
    by_uuid = {_uuid_of(item): item for item in instances if _uuid_of(item)}
    told = acting = False
    for item in _listed(args.get("events")):
        found = _object(item)
        instance = by_uuid.get(fields.uuid(_field(found, "instance_uuid")))
        if instance is not None:
            told = True
            kind = fields.text(_field(found, "name"))
            if kind in _ACTING_EVENTS:
                acting = True
                yield instance, kind, fields.text(_field(found, "tag"))
    if told and not acting:
        raise Skipped(NOT_AN_ACTION)
    if not told:
        for instance in by_uuid.values():
            yield instance, None, None


def _object(item: Any) -> Data:
    """Return an object's fields; one that was serialised as its ``repr`` shows a few (the last of a name counts)."""
    if isinstance(item, str):
        return {found[1]: found[2] for found in _REPR_FIELD.finditer(item[: fields.MAX_TEXT])}
    return fields.data(item)


def _field(found: Data, name: str) -> Any:
    """Return a field of an object that may be serialised with its private names (``_obj_tag``)."""
    return found.get(name, found.get(f"_obj_{name}"))
