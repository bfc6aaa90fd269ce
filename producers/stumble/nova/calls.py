"""Converts the arguments of Nova's calls to plain mappings, without lazy-loading a field."""

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
#: Argument of a step's method with the id of its target resource: step → (kind, argument, attribute of the argument).
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
#: Steps that can return early because of their migration's status, and then end with Success.
_DECIDED_BY_MIGRATION: Final = frozenset({"compute_confirm_resize"})


def new_call(kind: str, function: str, **known: Any) -> dict[str, Any]:
    """Return a new call with a random id and the current time (UTC microseconds)."""
    return {"kind": kind, "function": function, "call_id": uuid.uuid4().hex, "time_us": time.time_ns() // 1000, **known}


def context(value: Any) -> dict[str, Any]:
    """Return the fields of a request context that events contain."""
    names = ("request_id", "global_request_id", "user_id", "project_id")
    return {name: getattr(value, name, None) for name in names}


def loaded(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of an object that are loaded; reading another field could query the database."""
    is_set = getattr(value, "obj_attr_is_set", None)
    if is_set is None:
        return {}
    return {name: getattr(value, name) for name in names if is_set(name)}


def instance(value: Any) -> dict[str, Any]:
    """Return the state of an instance object."""
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
    """Return host and arguments of the step whose EventReporter called; the calls themselves do not pass them.

    The reporter has its host as attribute; the decorator around a manager's method has the arguments in the local
    ``keyed_args``, and a conductor's method that reports a part of its work has the instance as a local.
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
    """Return an instance's state if ``value`` is the instance with this uuid, else an empty mapping."""
    result = instance(value) if value is not None else {}
    return result if result.get("uuid") == instance_uuid else {}


def step_target(step: Any, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (kind, id) of a step's target resource, or None if its arguments contain none."""
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


def step_migration(step: Any, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the migration that is an argument of a step's method, if its status shows whether the work was done."""
    return migration(arguments.get("migration")) if step in _DECIDED_BY_MIGRATION else None


def extended_volume(action: Any, frame: FrameType | None) -> tuple[str, str] | None:
    """Return the volume of an ``extend_volume``, from the external event that the API processes in ``frame``."""
    if action != "extend_volume" or frame is None:
        return None
    with suppress(Exception):
        result = loaded(frame.f_locals.get("event"), ("name", "tag"))
        if result.get("name") == "volume-extended" and result.get("tag"):
            return "volume", str(result["tag"])
    return None
