"""Converts a signal of a story to the event that the translation of the real signal would return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from stumble.simulator.causes import Raised
from stumble.simulator.fleet import Project, SimulatedInstance
from stumble.simulator.story import RequestTruth, StorySignal
from stumble.translate.build import move_side
from stumble.translate.exceptions import parse_exception
from stumble.translate.failure import build_failure
from stumble.translate.names import COMPUTE_TASKS, INSTANCE_SIGNALS, RESIZE_ERROR, STEP_ACTIONS, Meaning
from stumble.wire.ids import derived_event_id
from stumble.wire.taxonomy import module_of_class

_SERVICES = {"api": "nova-api", "conductor": "nova-conductor"}
_TAP = frozenset({"action_start", "event_start", "event_finish", "fault", "migration"})
_TAP_CALLS = {
    "action_start": "InstanceAction.action_start",
    "event_start": "InstanceActionEvent.event_start",
    "event_finish": "InstanceActionEvent.event_finish",
    "fault": "add_instance_fault_from_exc",
    "migration": "Migration.save",
}
_POWER = {"stopped": "shutdown", "paused": "paused", "suspended": "suspended", "building": "pending"}
_MIGRATION_TYPES = {"resize": "resize", "migrate": "migration", "evacuate": "evacuation"}
_EMIT_DELAY_US = 180


@dataclass(slots=True)
class StoryScene:
    """The hosts of a story, and the instance's state at the current signal."""

    instance: SimulatedInstance
    hosts_by_role: dict[str, str]
    vm_state: str
    task_state: str | None = None

    def enter(self, signal: StorySignal) -> None:
        """Apply a signal to the instance's state; the end of a notification clears task_state."""
        if signal.vm_state or (signal.phase == "END" and signal.name.startswith("instance.")):
            self.vm_state = signal.vm_state or self.vm_state
            self.task_state = None
        if signal.task_state:
            self.task_state = signal.task_state


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a story with its random ids."""

    request: RequestTruth
    request_id: str
    global_request_id: str | None
    initiator: Project | None
    target_id: str | None
    new_flavor: str
    migration_id: str


class Moment(NamedTuple):
    """Time of a signal by the emitter's clock (UTC microseconds), and its message id."""

    at_us: int
    message_id: str


def render_signal(
    signal: StorySignal, stage: StoryScene, call: Call, raised: Raised | None, moment: Moment
) -> dict[str, Any]:
    """Return the event of one signal."""
    at_us, message_id = moment
    service = _SERVICES.get(signal.role, "nova-compute")
    host = stage.hosts_by_role[signal.role]
    publisher = f"{service}:{host}"
    tap = signal.name in _TAP
    event: dict[str, Any] = {
        "event_id": derived_event_id(at_us, publisher, message_id, 0),
        "occurred_at": at_us,
        "emitted_at": at_us + _EMIT_DELAY_US,
        "phase": signal.phase,
        "scope": _scope(signal.name),
        "request_id": call.request_id,
        "global_request_id": call.global_request_id,
        "service": service,
        "host": host,
        "cell": f"cell{stage.instance.cell + 1}",
        "region": "RegionOne",
        "source": {
            "kind": "TAP" if tap else "VERSIONED",
            "event_type": _TAP_CALLS[signal.name] if tap else _event_type(signal),
            "signal": signal.name,
            "message_id": message_id,
            "publisher": publisher,
            "position": 0,
        },
    }
    if signal.name != "exception":
        event["instance_uuid"] = stage.instance.uuid
    if call.initiator:
        event["initiator_user_id"] = call.initiator.user_id
        event["initiator_project_id"] = call.initiator.project_id
    if raised:
        event["failure"] = _failure(raised)
        if tap:
            event["failure_id"] = f"{raised.token}{host}"
    _details(event, signal, stage, call)
    return event


def _scope(name: str) -> str:
    if name == "action_start" or name.startswith("compute_task."):
        return "REQUEST"
    return "INSTANCE" if name in {"fault", "migration"} else "STEP"


def _event_type(signal: StorySignal) -> str:
    if signal.name == "exception":
        return "compute.exception"
    return signal.name if signal.phase == "PROGRESS" else f"{signal.name}.{signal.phase.lower()}"


def _details(event: dict[str, Any], signal: StorySignal, stage: StoryScene, call: Call) -> None:
    """Add the fields of this kind of signal, except ids and failure."""
    name = signal.name
    if name == "action_start":
        event["action"] = call.request.action
    elif name in {"event_start", "event_finish", "exception"}:
        event["step"] = signal.step
        if name != "exception":
            event["action"] = STEP_ACTIONS.get(signal.step or "")
    elif name == "fault":
        event["owner_project_id"] = stage.instance.project.project_id
        event["instance"] = _snapshot(stage)
    elif name == "migration":
        event["migration_id"] = call.migration_id
        event["migration_type"] = _MIGRATION_TYPES.get(call.request.action, call.request.action)
        event["migration_status"] = signal.status
        event["source_host"] = stage.hosts_by_role["host"]
        event["dest_host"] = stage.hosts_by_role["second"]
    elif name.startswith("compute_task."):
        event["owner_project_id"] = stage.instance.project.project_id
        event["instance"] = {"vm_state": stage.vm_state}
        meaning = COMPUTE_TASKS.get(name.partition(".")[2], Meaning())
        event["action"], event["step"] = meaning.action, meaning.step
    else:
        _notification(event, signal, stage, call)


def _notification(event: dict[str, Any], signal: StorySignal, stage: StoryScene, call: Call) -> None:
    meaning = INSTANCE_SIGNALS.get(signal.name.partition(".")[2], Meaning())
    if signal.name == "instance.resize" and signal.phase == "ERROR":
        meaning = RESIZE_ERROR
    event["action"], event["step"] = meaning.action, meaning.step
    event.update(move_side(meaning.side, stage.hosts_by_role[signal.role], stage.hosts_by_role["host"]))
    event["owner_project_id"] = stage.instance.project.project_id
    event["availability_zone"] = stage.instance.zone
    event["node"] = f"{stage.hosts_by_role[signal.role]}.example.org"
    event["instance"] = _snapshot(stage)
    if call.request.target_kind:
        event["target_kind"] = call.request.target_kind
        event["target_id"] = call.target_id
    if signal.name == "instance.resize_prep":
        event["old_flavor"] = stage.instance.flavor
        event["new_flavor"] = call.new_flavor


def _snapshot(stage: StoryScene) -> dict[str, Any]:
    instance = stage.instance
    return {
        "vm_state": stage.vm_state,
        "task_state": stage.task_state,
        "power_state": _POWER.get(stage.vm_state, "running"),
        "display_name": instance.name,
        "flavor": instance.flavor,
        "image": instance.image,
    }


def _failure(raised: Raised) -> dict[str, Any]:
    failure = build_failure(
        parse_exception(raised.exception, raised.message, module_of_class(raised.exception, raised.module)),
        module=raised.module,
        function=raised.function,
        causes=[parse_exception(name, None) for name in raised.chain],
    ).record
    return failure | {"traceback": raised.traceback}  # holds no secret: masking it would take most of the time
