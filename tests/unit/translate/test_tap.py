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


def one(found: dict, context: dict | None = CONTEXT) -> dict:
    (event,) = translate_tap(found, context)
    return event


def test_action_start():
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


def test_action_finish():
    event = one(call("action_finish", action="resetState"))
    assert (event["phase"], event["scope"], event["action"]) == ("END", "REQUEST", "resetState")


def test_action_finish_in_failure():
    event = one(call("action_finish", action="stop", failed=True, exception=EXCEPTION))
    assert (event["phase"], event["scope"], event["action"]) == ("ERROR", "REQUEST", "stop")
    assert event["failure"]["exception"] == "InstancePowerOffFailure"


def test_steps():
    assert one(call("event_start", step="compute_stop_instance"))["phase"] == "START"
    event = one(call("event_finish", step="compute_stop_instance"))
    assert (event["phase"], event["step"], event["action"]) == ("END", "compute_stop_instance", None)
    event = one(call("event_finish", step="compute_set_admin_password", failed=True, exception=EXCEPTION))
    assert (event["phase"], event["action"], event["failure_id"]) == ("ERROR", "changePassword", "token-1")
    failure = event["failure"]
    assert (failure["exception"], failure["code"], failure["code_source"]) == ("InstancePowerOffFailure", 400, "SOURCE")
    assert failure["chain"] == ["libvirtError", "OSError"]
    assert failure["reason"] == "Failed to power off instance: stuck"


def test_a_failed_step_without_its_exception():
    event = one(call("event_finish", step="compute_stop_instance", failed=True))
    assert (event["phase"], event["failure"]) == ("ERROR", None)


def test_a_fault_with_the_instances_state():
    found = {"vm_state": "active", "project_id": "blue", "flavor": "m1.small", "image_ref": "", "node": "node1"}
    event = one(call("fault", exception=EXCEPTION, instance=found))
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
def test_migrations(status: str, phase: str, action: str | None):
    found = {
        "id": 7,
        "uuid": "33333333-8f85-4257-88b6-2e743b5a975c",
        "migration_type": "migration",
        "status": status,
        "source_compute": "host1",
        "dest_compute": "host2",
    }
    event = one(call("migration", migration=found))
    assert (event["phase"], event["action"], event["migration_status"]) == (phase, action, status)
    assert (event["source_host"], event["dest_host"]) == ("host1", "host2")
    assert event["migration_id"] == "33333333-8f85-4257-88b6-2e743b5a975c"


def test_a_saved_instance():
    event = one(call("instance_save", instance={"vm_state": "error", "task_state": None}))
    assert (event["source"]["signal"], event["phase"], event["scope"]) == ("instance.update", "PROGRESS", "INSTANCE")
    assert event["instance"]["vm_state"] == "error"


def test_a_target():
    event = one(call("event_start", step="compute_extend_volume", target=("volume", "vol-1")))
    assert (event["action"], event["target_kind"], event["target_id"]) == ("extend_volume", "volume", "vol-1")


def test_without_a_context():
    event = one(call("event_start", step="compute_stop_instance"), None)
    assert (event["request_id"], event["initiator_user_id"]) == (None, None)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (call("other"), "unknown_event_type"),
        (call("fault", instance_uuid=None), "no_instance"),
        (call("fault", time_us=-1), "no_identity"),
        (None, "unknown_event_type"),
    ],
)
def test_what_yields_no_event_says_why(found: object, reason: str):
    assert read_tap(found, CONTEXT) == ([], reason)
