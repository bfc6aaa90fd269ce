"""Translates calls on Nova's own action records, as the tap saw them on the calling side.

A call is a plain mapping, so that recorded calls can be translated again:

- ``kind``: ``action_start``, ``action_finish``, ``event_start``, ``event_finish``, ``fault``, ``migration``,
  ``instance_save`` or ``step_undone`` (the step gave its work up, and will end with Success)
- ``call_id``: random, one per call; ``time_us``: UTC microseconds; ``function``: name of the called function
- ``service`` and ``host``: where the call was made
- ``instance_uuid``; ``action`` (action_*) or ``step`` (event_*, step_undone)
- ``failed``: whether event_finish or action_finish ended in failure
- ``exception``: mapping of ``class``, ``module`` (of the class), ``function``, ``message``, ``traceback``, ``code``,
  ``token`` (one value for each exception object in a process), ``user_message`` (what its ``format_message`` returns,
  None without that method), ``chain`` (the exceptions inside it, outermost first: mappings of ``class``, ``module``,
  ``message`` and ``user_message``, or only class names), and for a fault ``fault_message`` (the text that Nova records
  in place of the exception's)
- ``instance``: mapping of the instance's fields at that time, as far as they were loaded
- ``migration``: mapping of the migration's fields
- ``target``: (kind, id) of the step's target resource
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stumble.translate import fields
from stumble.translate.build import Event, SignalId, build_event, build_snapshot
from stumble.translate.causes import raised_in
from stumble.translate.exceptions import ParsedException, UserText, parse_exception
from stumble.translate.failure import FailureSighting, build_failure
from stumble.translate.names import STEP_ACTIONS
from stumble.translate.result import Translation
from stumble.translate.skip import MALFORMED, NO_IDENTITY, NO_INSTANCE, UNKNOWN, Skipped
from stumble.wire.taxonomy import SHOWN_WRAPPERS, WRAPPERS

Data = Mapping[str, Any]

_SCOPES = {
    "action_start": "REQUEST",
    "action_finish": "REQUEST",
    "event_start": "STEP",
    "event_finish": "STEP",
    "fault": "INSTANCE",
    "migration": "INSTANCE",
    "instance_save": "INSTANCE",
    "step_undone": "STEP",
}
#: Signal name of a kind, if it is that of a notification.
_NAMES = {"instance_save": "instance.update"}
_MIGRATION_PHASES = {"error": "ERROR", "failed": "ERROR", "completed": "END", "cancelled": "END"}
_MIGRATION_ACTIONS = {
    "resize": "resize",
    "migration": "migrate",
    "live-migration": "live-migration",
    "evacuation": "evacuate",
}
#: Migration states set by the action that created the migration; later states can come from confirm or revert.
_OWN_STATES = frozenset(
    (
        *("accepted", "queued", "preparing", "pre-migrating", "migrating", "post-migrating"),
        *("running", "running (post-copy)", "finished", "completed", "done"),
    )
)
#: Deeper chains are cut.
_MAX_CHAIN = 16


def translate_tap(call: Mapping[str, Any], ctxt: Mapping[str, Any] | None) -> list[Event]:
    """Return the event of one call; none if it cannot be translated. Never raises."""
    return read_tap(call, ctxt).events


def read_tap(call: Any, ctxt: Any) -> Translation:
    """Translate one call; ``ctxt`` is Nova's request context as a mapping. Never raises."""
    try:
        return Translation([_event(fields.mapping(call), fields.mapping(ctxt))])
    except Skipped as skipped:
        return Translation([], str(skipped))
    except Exception:  # noqa: BLE001 - a recording may have any shape, and the caller runs inside Nova
        return Translation([], MALFORMED)


def _event(call: Data, ctxt: Data) -> Event:
    kind = fields.text(call.get("kind"))
    if kind not in _SCOPES:
        raise Skipped(UNKNOWN)
    uuid = fields.uuid(call.get("instance_uuid"))
    if uuid is None:
        raise Skipped(NO_INSTANCE)
    result = failure_of(fields.mapping(call.get("exception")))
    step = fields.text(call.get("step"))
    return build_event(
        _signal(call, kind),
        ctxt,
        phase=_phase(kind, call),
        scope=_SCOPES[kind],
        instance_uuid=uuid,
        action=fields.text(call.get("action")) or STEP_ACTIONS.get(step or "") or _migration_action(call),
        step=step,
        failure=result,
        failure_id=fields.text(fields.mapping(call.get("exception")).get("token")) if result else None,
        **_instance(fields.mapping(call.get("instance"))),
        **_migration(fields.mapping(call.get("migration"))),
        **_target(call.get("target")),
    )


def _signal(call: Data, kind: str) -> SignalId:
    call_id = fields.text(call.get("call_id"))
    time_us = call.get("time_us")
    if call_id is None or not isinstance(time_us, int) or isinstance(time_us, bool) or not 0 < time_us < 2**60:
        raise Skipped(NO_IDENTITY)
    service, host = fields.text(call.get("service")), fields.text(call.get("host"))
    function = fields.text(call.get("function")) or kind
    return SignalId(
        "TAP", function, _NAMES.get(kind, kind), call_id, f"{service or ''}:{host or ''}", time_us, service, host
    )


def _phase(kind: str, call: Data) -> str:
    if kind in ("action_finish", "event_finish"):
        return "ERROR" if call.get("failed") else "END"
    if kind in ("fault", "step_undone"):
        return "ERROR"
    if kind == "migration":
        status = fields.text(fields.mapping(call.get("migration")).get("status"))
        return _MIGRATION_PHASES.get(status or "", "PROGRESS")
    if kind == "instance_save":
        return "ERROR" if call.get("exception") else "PROGRESS"
    return "START"


def failure_of(result: Data) -> FailureSighting | None:
    """Return the failure of a call's ``exception``, or None."""
    name = fields.text(result.get("class"))
    if name is None:
        return None
    traceback = fields.text(result.get("traceback"))
    chain = result.get("chain")
    links = list(chain[:_MAX_CHAIN]) if isinstance(chain, list | tuple) else []
    what = _exception(result)
    code = fields.integer(result.get("code"))
    if fault_message := fields.text(result.get("fault_message")):
        what = what._replace(shown=UserText(fault_message))
    return build_failure(
        what if code is None or what.exception != name else what._replace(code=code),
        module=fields.text(result.get("module")),
        function=fields.text(result.get("function")),
        traceback=traceback,
        causes=_causes(links, traceback, name),
    )


def _exception(result: Data) -> ParsedException:
    name, module = fields.text(result.get("class")), fields.text(result.get("module"))
    what = parse_exception(name, fields.text(result.get("message")), module)
    if "user_message" not in result or (what.exception in WRAPPERS and what.exception not in SHOWN_WRAPPERS):
        return what
    return what._replace(shown=UserText(fields.text(result.get("user_message"))))


def _causes(links: list[Any], traceback: str | None, exception: str) -> list[ParsedException]:
    """Return the exceptions inside; the traceback has the modules and texts of those of which only names are known."""
    if all(isinstance(link, Mapping) for link in links):
        return [_exception(link) for link in links]
    named = [parse_exception(fields.text(link), None) for link in links]
    raised = raised_in(traceback, exception)[1:]
    same = [one.exception for one in raised] == [one.exception for one in named]
    return list(raised) if same else named


def _instance(result: Data) -> Event:
    if not result:
        return {}
    return {
        "owner_project_id": fields.text(result.get("project_id")),
        "availability_zone": fields.text(result.get("availability_zone")),
        "node": fields.text(result.get("node")),
        "instance": build_snapshot(
            vm_state=fields.text(result.get("vm_state")),
            task_state=fields.text(result.get("task_state")),
            power_state=fields.text(result.get("power_state")),
            display_name=fields.text(result.get("display_name")),
            flavor=fields.text(result.get("flavor")),
            image=fields.text(result.get("image_ref")),
        ),
    }


def _migration_action(call: Data) -> str | None:
    result = fields.mapping(call.get("migration"))
    if fields.text(result.get("status")) not in _OWN_STATES:
        return None
    return _MIGRATION_ACTIONS.get(fields.text(result.get("migration_type")) or "")


def _migration(result: Data) -> Event:
    if not result:
        return {}
    return {
        "migration_id": fields.text(result.get("uuid")) or fields.text(result.get("id")),
        "migration_type": fields.text(result.get("migration_type")),
        "migration_status": fields.text(result.get("status")),
        "source_host": fields.text(result.get("source_compute")),
        "source_node": fields.text(result.get("source_node")),
        "dest_host": fields.text(result.get("dest_compute")),
        "dest_node": fields.text(result.get("dest_node")),
    }


def _target(result: Any) -> Event:
    if not isinstance(result, list | tuple) or len(result) != 2:
        return {}
    kind, target = fields.text(result[0]), fields.text(result[1])
    return {"target_kind": kind, "target_id": target} if kind and target else {}
