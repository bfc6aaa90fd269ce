"""Observers of work that a compute gives up without an error: early returns and swallowed exceptions.

The step then ends with Success. docs/nova-early-returns.md lists these places; here are those that only a call of Nova
shows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from stumble.nova import calls, sightings

if TYPE_CHECKING:
    from stumble.nova.producer import Producer

Arguments = dict[str, Any]

#: Function that saves an instance → its step, and the classes raised by the save that it or its caller swallows.
_SWALLOWED_SAVES = {
    "snapshot_instance": ("compute_snapshot_instance", ("InstanceNotFound", "UnexpectedDeletingTaskStateError")),
    "do_power_update": ("compute_power_update", ("UnexpectedTaskStateError",)),
    "power_update_event": ("compute_power_update", ("UnexpectedTaskStateError",)),
}


def image_lookup(producer: Producer, caller: FrameType, given: Arguments) -> None:
    """Emit the exception for which ``_snapshot_instance`` gives up: it then looks whether the image was uploaded."""
    del given
    if caller.f_code.co_name != "_snapshot_instance":
        return
    raised = sys.exc_info()[1]
    if raised is None:
        return
    names = caller.f_locals
    is_backup = names["expected_task_state"] == "image_backup"
    step = "compute_backup_instance" if is_backup else "compute_snapshot_instance"
    _emit(producer, names["context"], calls.instance(names["instance"]), step, raised=raised)


def volume_lookup(producer: Producer, caller: FrameType, given: Arguments) -> Callable[..., None] | None:
    """Emit that ``extend_volume`` gives up: the volume is not attached, or not connected to a host yet."""
    if caller.f_code.co_name != "extend_volume":
        return None
    instance = caller.f_locals["instance"]

    def after(raised: BaseException | None, device: Any) -> None:
        if raised is None:
            gives_up = calls.loaded(device, ("connection_info",)).get("connection_info", "") is None
        else:
            gives_up = _is_a(raised, ("NotFound",))
        if gives_up:
            state, target = calls.instance(instance), ("volume", given["volume_id"])
            _emit(producer, given["context"], state, "compute_extend_volume", raised=raised, target=target)

    return after


def failed_save(
    producer: Producer, caller: FrameType, context: Any, state: dict[str, Any], raised: BaseException
) -> None:
    """Emit the exception of an instance's save, if the calling function swallows it and ends its step.

    ``state`` has the instance's fields as they are stored.
    """
    step, classes = _SWALLOWED_SAVES.get(caller.f_code.co_name, (None, ()))
    if step is not None and _is_a(raised, classes):
        _emit(producer, context, state, step, raised=raised)


def _is_a(raised: BaseException, classes: tuple[str, ...]) -> bool:
    return any(base.__name__ in classes for base in type(raised).__mro__)


def _emit(
    producer: Producer,
    context: Any,
    state: dict[str, Any],
    step: str,
    *,
    raised: BaseException | None = None,
    target: tuple[str, str] | None = None,
) -> None:
    call = calls.new_call(
        "step_undone",
        step,
        service=producer.service or "nova-compute",
        host=producer.host,
        instance_uuid=state.get("uuid"),
        step=step,
        instance=state,
        target=target,
    )
    if raised is not None:
        call["exception"] = sightings.describe_exception(raised)
    producer.emit_call(call, calls.context(context))
