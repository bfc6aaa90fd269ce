"""From the arguments of Nova's calls to plain mappings, without loading anything lazily."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final

#: Numbers of ``nova.objects.fields.InstancePowerState``.
_POWER_STATES: Final = {0: "pending", 1: "running", 3: "paused", 4: "shutdown", 6: "crashed", 7: "suspended"}
_INSTANCE_FIELDS: Final = (
    *("uuid", "project_id", "availability_zone", "node", "vm_state", "task_state", "display_name", "image_ref"),
)
_MIGRATION_FIELDS: Final = (
    *("id", "uuid", "status", "migration_type"),
    *("source_compute", "source_node", "dest_compute", "dest_node"),
)
#: Argument of a step's method that names the resource it works on: step → (kind, argument, its attribute).
_TARGETS: Final[dict[str, tuple[str, str, str | None]]] = {
    "compute_extend_volume": ("volume", "extended_volume_id", None),
    "compute_attach_volume": ("volume", "bdm", "volume_id"),
    "compute_detach_volume": ("volume", "volume_id", None),
    "compute_swap_volume": ("volume", "old_volume_id", None),
    "compute_attach_interface": ("port", "port_id", None),
    "compute_detach_interface": ("port", "port_id", None),
    "compute_allow_share": ("share", "share_mapping", "share_id"),
    "compute_deny_share": ("share", "share_mapping", "share_id"),
}


def new_call(kind: str, function: str, **known: Any) -> dict[str, Any]:
    """Return a call of this moment."""
    return {"kind": kind, "function": function, "call_id": uuid.uuid4().hex, "time_us": time.time_ns() // 1000, **known}


def context(value: Any) -> dict[str, Any]:
    """Return the few fields of a request context that events carry."""
    names = ("request_id", "global_request_id", "user_id", "project_id")
    return {name: getattr(value, name, None) for name in names}


def loaded(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return those of an object's fields that are loaded: reading another one could go to the database."""
    is_set = getattr(value, "obj_attr_is_set", None)
    if is_set is None:
        return {}
    return {name: getattr(value, name) for name in names if is_set(name)}


def instance(value: Any) -> dict[str, Any]:
    """Return an instance's state as its object shows it."""
    with suppress(Exception):
        result = loaded(value, _INSTANCE_FIELDS)
        result["power_state"] = _POWER_STATES.get(loaded(value, ("power_state",)).get("power_state", -1))
        flavor = loaded(value, ("flavor",)).get("flavor")
        result["flavor"] = loaded(flavor, ("name",)).get("name")
        return result
    return {}


def migration(value: Any) -> dict[str, Any]:
    """Return a migration's fields."""
    return loaded(value, _MIGRATION_FIELDS)


def reporter(frame: FrameType | None) -> tuple[str | None, Mapping[str, Any]]:
    """Return the host and the arguments of the step whose EventReporter called: what its calls don't hand on.

    The reporter knows its host; the decorator around a manager's method keeps the arguments as ``keyed_args``, and a
    conductor's method that reports a part of itself has the instance as a local.
    """
    with suppress(Exception):
        if frame is None or frame.f_code.co_name not in ("__enter__", "__exit__"):
            return None, {}
        host = getattr(frame.f_locals.get("self"), "host", None)
        outer = frame.f_back
        if outer is None or not str(outer.f_globals.get("__name__", "")).startswith("nova."):
            return host, {}
        names = outer.f_locals
        keyed = names.get("keyed_args")
        return host, keyed if isinstance(keyed, Mapping) else {"instance": names.get("instance")}
    return None, {}


def same_instance(value: Any, instance_uuid: Any) -> dict[str, Any]:
    """Return an instance's state if ``value`` is the instance of that uuid."""
    result = instance(value) if value is not None else {}
    return result if result.get("uuid") == instance_uuid else {}


def step_target(step: Any, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (kind, id) of the resource that a step works on, where its arguments name one."""
    if step not in _TARGETS:
        return None
    kind, name, attribute = _TARGETS[step]
    with suppress(Exception):
        result = arguments.get(name)
        if attribute is not None:
            result = loaded(result, (attribute,)).get(attribute)
        if isinstance(result, str) and result:
            return kind, result
    return None


def extended_volume(action: Any, frame: FrameType | None) -> tuple[str, str] | None:
    """Return the volume of an ``extend_volume``: the API has it in the external event that it is looking at."""
    if action != "extend_volume" or frame is None:
        return None
    with suppress(Exception):
        result = loaded(frame.f_locals.get("event"), ("name", "tag"))
        if result.get("name") == "volume-extended" and result.get("tag"):
            return "volume", str(result["tag"])
    return None
