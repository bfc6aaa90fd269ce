from __future__ import annotations

import pytest

from stumble.translate import read_tap, translate_tap
from tests.unit.translate.samples import CONTEXT, REQUEST, TIME_US, UUID


def call(kind: str, **known: object) -> dict:
    return {
        "kind": kind,
        "call_id": "call-1",
        "time_us": TIME_US,
        "service": "nova-compute",
        "host": "host1",
        "instance_uuid": UUID,
    } | known


EXCEPTION = {
    "class": "InstancePowerOffFailure",
    "module": "nova.exception",
    "message": "Failed to power off instance: stuck",
    "traceback": "Traceback",
    "code": 400,
    "chain": ["libvirtError", "OSError"],
    "token": "token-1",
}


def one(fields: dict, context: dict | None = CONTEXT) -> dict:
    (event,) = translate_tap(fields, context)
    return event


def test_action_start_is_a_start_of_the_request():
    event = one(
        call("action_start", action="changePassword", service="nova-api", function="InstanceAction.action_start")
    )
    assert (event["phase"], event["scope"], event["action"]) == ("START", "REQUEST", "changePassword")
    assert (event["request_id"], event["initiator_user_id"]) == (REQUEST, "alice")
    assert event["source"] == {
        "kind": "TAP",
        "event_type": "InstanceAction.action_start",
        "signal": "action_start",
        "message_id": "call-1",
        "publisher": "nova-api:host1",
        "position": 0,
    }


def test_action_finish_is_an_end_of_the_request():
    event = one(call("action_finish", action="resetState"))
    assert (event["phase"], event["scope"], event["action"]) == ("END", "REQUEST", "resetState")


def test_failed_action_finish_is_an_error_of_the_request():
    event = one(call("action_finish", action="stop", failed=True, exception=EXCEPTION))
    assert (event["phase"], event["scope"], event["action"]) == ("ERROR", "REQUEST", "stop")
    assert event["failure"]["exception"] == "InstancePowerOffFailure"


def test_step_events_have_phase_action_and_failure():
    assert one(call("event_start", step="compute_stop_instance"))["phase"] == "START"
    event = one(call("event_finish", step="compute_stop_instance"))
    assert (event["phase"], event["step"], event["action"]) == ("END", "compute_stop_instance", None)
    event = one(call("event_finish", step="compute_set_admin_password", failed=True, exception=EXCEPTION))
    assert (event["phase"], event["action"], event["failure_id"]) == ("ERROR", "changePassword", "token-1")
    failure = event["failure"]
    assert (failure["exception"], failure["code"], failure["code_source"]) == ("InstancePowerOffFailure", 400, "SOURCE")
    assert failure["chain"] == ["libvirtError", "OSError"]
    assert failure["reason"] == "Failed to power off instance: stuck"


def test_failed_step_without_exception_has_no_failure():
    event = one(call("event_finish", step="compute_stop_instance", failed=True))
    assert (event["phase"], event["failure"]) == ("ERROR", None)


def test_step_that_gave_up_is_an_error_with_or_without_exception():
    event = one(call("step_undone", step="compute_extend_volume", target=("volume", "vol")))
    assert (event["phase"], event["scope"], event["step"]) == ("ERROR", "STEP", "compute_extend_volume")
    assert (event["source"]["signal"], event["failure"], event["target_id"]) == ("step_undone", None, "vol")
    event = one(call("step_undone", step="compute_backup_instance", exception=EXCEPTION))
    assert event["failure"]["exception"] == "InstancePowerOffFailure"


def test_end_of_a_step_shows_the_status_of_its_migration():
    event = one(call("event_finish", step="compute_confirm_resize", migration={"uuid": UUID, "status": "error"}))
    assert (event["phase"], event["migration_status"], event["migration_id"]) == ("END", "error", UUID)


def test_fault_has_the_state_of_the_instance():
    fields = {"vm_state": "active", "project_id": "blue", "flavor": "m1.small", "image_ref": "", "node": "node1"}
    event = one(call("fault", exception=EXCEPTION, instance=fields))
    assert (event["phase"], event["scope"], event["owner_project_id"]) == ("ERROR", "INSTANCE", "blue")
    assert (event["instance"]["vm_state"], event["instance"]["image"]) == ("active", None)


@pytest.mark.parametrize(
    ("status", "phase", "action"),
    [
        ("migrating", "PROGRESS", "migrate"),
        ("finished", "PROGRESS", "migrate"),
        ("confirmed", "PROGRESS", None),
        ("error", "ERROR", None),
        ("failed", "ERROR", None),
        ("cancelled", "END", None),
        ("completed", "END", "migrate"),
    ],
)
def test_migration_status_gives_phase_and_action(status: str, phase: str, action: str | None):
    fields = {
        "id": 7,
        "uuid": "33333333-8f85-4257-88b6-2e743b5a975c",
        "migration_type": "migration",
        "status": status,
        "source_compute": "host1",
        "dest_compute": "host2",
    }
    event = one(call("migration", migration=fields))
    assert (event["phase"], event["action"], event["migration_status"]) == (phase, action, status)
    assert (event["source_host"], event["dest_host"]) == ("host1", "host2")
    assert event["migration_id"] == "33333333-8f85-4257-88b6-2e743b5a975c"


def test_saved_instance_is_a_state_update():
    event = one(call("instance_save", instance={"vm_state": "error", "task_state": None}))
    assert (event["source"]["signal"], event["phase"], event["scope"]) == ("instance.update", "PROGRESS", "INSTANCE")
    assert event["instance"]["vm_state"] == "error"


def test_step_has_the_target_of_its_call():
    event = one(call("event_start", step="compute_extend_volume", target=("volume", "vol-1")))
    assert (event["action"], event["target_kind"], event["target_id"]) == ("extend_volume", "volume", "vol-1")


def test_missing_context_leaves_request_and_initiator_unknown():
    event = one(call("event_start", step="compute_stop_instance"), None)
    assert (event["request_id"], event["initiator_user_id"]) == (None, None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (call("other"), "unknown_event_type"),
        (call("fault", instance_uuid=None), "no_instance"),
        (call("fault", time_us=-1), "no_identity"),
        (None, "unknown_event_type"),
    ],
)
def test_ignored_call_returns_the_reason(fields: object, reason: str):
    assert read_tap(fields, CONTEXT) == ([], reason)
