"""Observers: what the tap emits for each wrapped call."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from stumble.nova import calls, service, sightings, undone
from stumble.nova.states import SavedStates

if TYPE_CHECKING:
    from stumble.nova.producer import Producer

Arguments = dict[str, Any]

_CONDUCTOR = "nova.conductor.manager"
_DISPATCH = ("_object_dispatch", "object_action", "object_class_action")
_RECORDS = "nova.objects.instance_action"
_FAILED = ("error", "failed")
_COMPUTE = "nova-compute"

#: Modules of the API's HTTP exceptions; the original exception is their cause or context.
_ANSWERS = ("webob", "nova.api.openstack.wsgi")

#: Methods that swallow a failure of their work: method → exception class.
_SWALLOWED = {"_snapshot_instance": "ImageNotFound"}

_states = SavedStates()
_serving = threading.local()


def is_nested(caller: FrameType) -> bool:
    """Return whether a call repeats one that the tap has already seen.

    A compute's calls reach the database through the conductor, which calls the same function again, with the
    exception as text; and ``event_finish`` calls ``event_finish_with_failure``.
    """
    module, name = caller.f_globals.get("__name__"), caller.f_code.co_name
    return (module == _CONDUCTOR and name.startswith(_DISPATCH)) or (module == _RECORDS and name == "event_finish")


def action_start(producer: Producer, caller: FrameType, given: Arguments) -> Callable[[], None]:
    """Emit the start of an action after the API has recorded it."""
    action = given["action_name"]
    call = _call(producer, caller, "action_start", "InstanceAction.action_start", given["instance_uuid"])
    call["action"] = action
    call["target"] = calls.extended_volume(action, caller)
    call["instance"] = calls.same_instance(caller.f_locals.get("instance"), given["instance_uuid"])
    context = calls.context(given["context"])

    def after() -> None:
        producer.emit_call(call, context)
        if (started := getattr(_serving, "started", None)) is not None:
            started.append((call, context))

    return after


def api_call(producer: Producer, caller: FrameType, given: Arguments) -> Callable[[BaseException | None, Any], None]:
    """Emit the failure of each action that an API call recorded before it raised."""
    del caller, given
    return _serve(producer, "Resource.dispatch", lambda _raised, _instance: True)


def conductor_call(
    producer: Producer, caller: FrameType, given: Arguments
) -> Callable[[BaseException | None, Any], None]:
    """Emit the failure of an action that the conductor recorded but could not pass to a compute.

    One call can concern several servers; those already passed to a compute continue.
    """
    del caller, given
    return _serve(producer, "ComputeTaskManager", sightings.was_at)


def _serve(
    producer: Producer, function: str, concerns: Callable[[BaseException, Any], bool]
) -> Callable[[BaseException | None, Any], None]:
    outer = getattr(_serving, "started", None)
    started: list[tuple[dict[str, Any], dict[str, Any]]] = []
    _serving.started = started

    def after(raised: BaseException | None, _result: Any) -> None:
        _serving.started = outer
        if raised is None:
            return
        exception = sightings.describe_exception(sightings.inside(raised, _ANSWERS))
        for begun, context in started:
            if not concerns(raised, begun["instance_uuid"]):
                continue
            call = calls.new_call("action_finish", function)
            call |= {name: begun[name] for name in ("service", "host", "instance_uuid", "action", "target", "instance")}
            producer.emit_call(call | {"failed": True, "exception": exception}, context)

    return after


def action_finish(producer: Producer, caller: FrameType, given: Arguments) -> Callable[[], None]:
    """Emit the end of an action that Nova finishes explicitly; only resetState and nova-manage do."""
    record = given["self"]
    known = calls.loaded(record, ("instance_uuid", "action"))
    call = _call(producer, caller, "action_finish", "InstanceAction.finish", known.get("instance_uuid"))
    call["action"] = known.get("action")
    call["instance"] = calls.same_instance(caller.f_locals.get("instance"), known.get("instance_uuid"))
    return partial(producer.emit_call, call, calls.context(record._context))  # noqa: SLF001 - Nova itself reads it


def event_start(producer: Producer, caller: FrameType, given: Arguments) -> Callable[[], None]:
    """Emit the start of a step after Nova has recorded it."""
    call, context = _step(producer, caller, "event_start", given), calls.context(given["context"])
    # The instance passed to a step is newer than what this process saved: another host may have changed it meanwhile.
    _states.handed(given["instance_uuid"], context["request_id"], call["instance"])
    return partial(producer.emit_call, call, context)


def event_finish(producer: Producer, caller: FrameType, given: Arguments) -> None:
    """Emit the end or failure of a step, even if Nova then fails to record it."""
    call, context = _step(producer, caller, "event_finish", given), calls.context(given["context"])
    call["instance"] = _states.corrected(call["instance"], given["instance_uuid"], context["request_id"])
    exc = given.get("exc_val")
    call["failed"] = given.get("exc_tb") is not None
    if call["failed"] and isinstance(exc, BaseException):
        call["exception"] = sightings.describe_exception(exc)
    producer.emit_call(call, context)


def fault(producer: Producer, caller: FrameType, given: Arguments) -> None:
    """Emit a fault of an instance before Nova records it."""
    instance, exc = given["instance"], given["fault"]
    known, context = calls.instance(instance), calls.context(given["context"])
    call = _call(producer, caller, "fault", "add_instance_fault_from_exc", known.get("uuid"))
    call["instance"] = _states.corrected(known, known.get("uuid"), context["request_id"])
    if isinstance(exc, BaseException):
        call["exception"] = sightings.describe_exception(exc) | {"fault_message": given.get("fault_message")}
    producer.emit_call(call, context)


def migration_save(producer: Producer, caller: FrameType, given: Arguments) -> Callable[[], None] | None:
    """Emit a migration's new status after Nova has recorded it."""
    migration = given["self"]
    if "status" not in migration.obj_what_changed():
        return None
    known = calls.migration(migration)
    uuid = calls.loaded(migration, ("instance_uuid",)).get("instance_uuid")
    call = _call(producer, caller, "migration", "Migration.save", uuid)
    call["migration"] = known
    exc = sys.exc_info()[1]
    if exc is not None and known.get("status") in _FAILED:
        call["exception"] = sightings.describe_exception(exc)
    return partial(producer.emit_call, call, calls.context(migration._context))  # noqa: SLF001 - Nova itself reads it


def instance_save(
    producer: Producer, caller: FrameType, given: Arguments
) -> Callable[[BaseException | None, Any], None] | None:
    """Emit an instance whose vm_state changes or whose task ends, after Nova has saved it.

    Steps and notifications show the other changes of task_state.
    """
    instance = given["self"]
    changed = instance._changed_fields  # noqa: SLF001 - obj_what_changed copies, and checks every nested object
    vm_changed, task_changed = "vm_state" in changed, "task_state" in changed
    if not vm_changed and not task_changed:
        return None
    known, context = calls.instance(instance), calls.context(instance._context)  # noqa: SLF001 - Nova itself reads it
    vm_state, task_state = known.get("vm_state"), known.get("task_state")

    def after(raised: BaseException | None, _result: Any) -> None:
        if raised is not None:
            stored = _states.corrected(known, known.get("uuid"), context["request_id"])
            undone.failed_save(producer, caller, instance._context, stored, raised)  # noqa: SLF001 - as above
            return
        before = _states.saved(known.get("uuid"), context["request_id"], vm_state, task_state)
        swallowed = _swallowed(caller)
        if (vm_changed and vm_state != before) or (task_changed and task_state is None):
            call = _call(producer, caller, "instance_save", "Instance.save", known.get("uuid"))
            call["instance"] = known
            if swallowed is not None:
                call["exception"] = sightings.describe_exception(swallowed)
            producer.emit_call(call, context)

    return after


def service_start(producer: Producer, caller: FrameType, given: Arguments) -> Callable[[], None] | None:
    """Report a compute's start to the relay, before it resumes old work and again when it is ready; emits no event."""
    del caller
    # Several services in one process share one outbox, which cannot distinguish their starts.
    if producer.service != _COMPUTE or getattr(given["self"], "binary", None) != _COMPUTE:
        return None
    producer.emitter.announce(starting=True)
    return lambda: producer.emitter.announce(starting=False, ready_at=time.time_ns() // 1000)


def _swallowed(caller: FrameType) -> BaseException | None:
    """Return the exception that the calling method is handling and will swallow, if it is one of ``_SWALLOWED``."""
    exc = sys.exc_info()[1]
    return exc if type(exc).__name__ == _SWALLOWED.get(caller.f_code.co_name) else None


def _call(producer: Producer, caller: FrameType, kind: str, function: str, instance_uuid: Any) -> dict[str, Any]:
    return calls.new_call(
        kind,
        function,
        service=producer.service or service.of_caller(caller),
        host=producer.host,
        instance_uuid=instance_uuid,
    )


def _step(producer: Producer, caller: FrameType, kind: str, given: Arguments) -> dict[str, Any]:
    step, uuid = given["event_name"], given["instance_uuid"]
    host, arguments = calls.reporter(caller)
    call = _call(producer, caller, kind, f"InstanceActionEvent.{kind}", uuid)
    call["service"] = producer.service or service.of_step(step)
    # The conductor reports a step of a compute in another cell with that compute's host.
    call["host"] = given.get("host") or host or call["host"]
    call["step"] = step
    call["target"] = calls.step_target(step, arguments)
    call["migration"] = calls.step_migration(step, arguments)
    call["instance"] = calls.same_instance(arguments.get("instance"), uuid)
    return call
