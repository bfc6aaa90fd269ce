from __future__ import annotations

import traceback

import pytest

from stumble.translate import read_notification, translate_notification
from tests.unit.translate.samples import (
    CONTEXT,
    REQUEST,
    TIME_US,
    UUID,
    envelope,
    fault,
    versioned,
    wrapped,
)


def one(message: dict, context: dict | None = CONTEXT) -> dict:
    (event,) = translate_notification(message, context)
    return event


def test_event_has_every_field_of_the_notification():
    event = one(versioned("instance.power_off.start", task_state="powering-off"))
    assert event["occurred_at"] == TIME_US
    assert event["source"] == {
        "kind": "VERSIONED",
        "event_type": "instance.power_off.start",
        "signal": "instance.power_off",
        "message_id": "6d0e5f3f-0000-4000-8000-000000000001",
        "publisher": "nova-compute:host1",
        "position": 0,
    }
    assert (event["phase"], event["scope"], event["action"]) == ("START", "STEP", "stop")
    assert event["step"] == "compute_stop_instance"
    assert (event["instance_uuid"], event["request_id"], event["global_request_id"]) == (UUID, REQUEST, "req-global")
    assert (event["owner_project_id"], event["initiator_user_id"]) == ("blue", "admin")
    assert event["initiator_project_id"] == "ops"
    assert (event["service"], event["host"], event["node"]) == ("nova-compute", "host1", "node1")
    assert event["availability_zone"] == "az1"
    assert event["instance"] == {
        "vm_state": "active",
        "task_state": "powering-off",
        "power_state": "running",
        "old_vm_state": None,
        "old_task_state": None,
        "display_name": "web-1",
        "flavor": "m1.small",
        "image": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
    }
    assert event["failure"] is None


def test_error_notification_gives_failure_and_target():
    event = one(versioned("instance.volume_attach.error", fault=fault(), volume_id="vol-1"))
    assert (event["phase"], event["target_kind"], event["target_id"]) == ("ERROR", "volume", "vol-1")
    assert event["failure"] == {
        "exception": "CinderConnectionFailed",
        "module": "nova.volume.cinder",
        "function": "attach",
        "chain": [],
        "code": 500,
        "code_source": "TAXONOMY",
        "reason": "no route to cinder",
        "message": "no route to cinder",
        "traceback": "Traceback",
        "blame": "DEPENDENCY",
        "retryable": event["failure"]["retryable"],
    }


def test_reason_of_a_foreign_exception_is_its_class_only():
    failure = one(versioned("instance.create.error", fault=fault("libvirtError", "/etc/passwd is bad")))["failure"]
    assert (failure["reason"], failure["message"]) == ("libvirtError", "/etc/passwd is bad")


def test_remote_exception_gets_its_original_class():
    text = "Port binding failed\nTraceback (most recent call last):\n  File x\nPortBindingFailed"
    failure = one(versioned("instance.create.error", fault=fault("PortBindingFailed_Remote", text, "")))["failure"]
    assert (failure["exception"], failure["message"]) == ("PortBindingFailed", "Port binding failed")
    assert failure["traceback"].startswith("Traceback (most")


_THEN = "\n\nDuring handling of the above exception, another exception occurred:\n\n"


def nova_traceback(message: str) -> str:
    """Return the traceback of an OSError as Nova sends it: the result of ``format_exception``, joined by commas."""
    with pytest.raises(OSError) as raised:
        _fail(OSError(message), PermissionError("deleting"), KeyError("row\nof two lines"))
    return ",".join(traceback.format_exception(None, raised.value, raised.value.__traceback__))


def _fail(exception: Exception, *causes: Exception) -> None:
    """Raise an exception during the handling of its first cause, which is raised in the same way."""
    try:
        if causes:
            _fail(*causes)
    finally:
        raise exception


@pytest.mark.parametrize(
    ("message", "chain"),
    [
        ("moved", ["PermissionError", "KeyError"]),
        ("moved\non two lines", ["PermissionError", "KeyError"]),
        (f"quotes{_THEN}KeyError: x", []),  # a text with an unexpected end is ignored
    ],
)
def test_chain_of_causes_is_read_from_the_traceback(message: str, chain: list[str]):
    payload = fault("OSError", message, nova_traceback(message))
    assert one(versioned("instance.create.error", fault=payload))["failure"]["chain"] == chain


def test_causes_that_crossed_rpc_get_their_original_classes():
    frames = "Traceback (most recent call last):\n,  File x\n"
    inner = "nova.exception_Remote.UnexpectedDeletingTaskStateError_Remote: Conflict"
    traceback_text = f"{frames},{inner}\n,{_THEN[1:]},{frames},nova.exception.AllocationMoveFailed: {{}}\n"
    failure = one(versioned("instance.create.error", fault=fault("AllocationMoveFailed", "{}", traceback_text)))[
        "failure"
    ]
    assert failure["chain"] == ["UnexpectedDeletingTaskStateError"]


def test_remote_error_gets_the_class_in_its_text():
    text = "Remote error: ValueError bad disk\n['Traceback (most recent call last):\\n', 'x']."
    failure = one(versioned("instance.create.error", fault=fault("RemoteError", text)))["failure"]
    assert (failure["exception"], failure["message"], failure["reason"]) == ("ValueError", "bad disk", "ValueError")


def test_step_of_compute_exception_is_read_from_its_traceback():
    traceback_text = (
        'Traceback (most recent call last):\n  File "/x/nova/exception_wrapper.py", line 63, in wrapped\n'
        '  File "/x/nova/compute/manager.py", line 170, in decorated_function\n'
        '  File "/x/nova/compute/manager.py", line 3606, in stop_instance\n'
        '  File "/x/nova/compute/manager.py", line 2900, in _power_off_instance\nnova.exception.X: y\n'
    )
    payload = fault("InstancePowerOffFailure", "Failed to power off", traceback_text)
    event = one(envelope("compute.exception", payload, "nova-compute:host1"))
    assert (event["source"]["signal"], event["phase"]) == ("exception", "ERROR")
    assert (event["instance_uuid"], event["request_id"]) == (None, REQUEST)
    assert event["step"] == "compute_stop_instance"
    assert event["failure"]["exception"] == "InstancePowerOffFailure"


@pytest.mark.parametrize("method", ["_post_live_migration", "_rollback_live_migration"])
def test_exception_of_work_that_a_step_queued_belongs_to_that_step(method: str):
    traceback = f'Traceback (most recent call last):\n  File "/x/nova/compute/manager.py", line 1, in {method}\n'
    event = one(envelope("compute.exception", fault("ValueError", "x", traceback), "nova-compute:host1"))
    assert event["step"] == "compute_live_migration"


_EXTENDING = ("external_instance_event", "extend_volume")


def test_extended_volume_is_a_step_inside_the_external_event():
    frames = "".join(f'  File "/x/nova/compute/manager.py", line 1, in {name}\n' for name in _EXTENDING)
    traceback = f"Traceback (most recent call last):\n{frames}"
    event = one(envelope("compute.exception", fault("ValueError", "x", traceback), "nova-compute:host1"))
    assert event["step"] == "compute_extend_volume"


@pytest.mark.parametrize(
    ("publisher", "frame"),
    [
        ("nova-api:x", "create_aggregate"),
        ("nova-compute:x", "get_vnc_console"),
        ("nova-compute:x", "external_instance_event"),
    ],
)
def test_exception_of_another_operation_is_ignored(publisher: str, frame: str):
    traceback = f'Traceback (most recent call last):\n  File "/x/nova/compute/manager.py", line 1, in {frame}\n'
    message = envelope("compute.exception", fault("AggregateNameExists", "x", traceback), publisher)
    assert read_notification(message, CONTEXT) == ([], "not_an_action")


def test_compute_task_error_is_an_error_of_the_request():
    spec = wrapped("RequestSpecPayload", project_id="blue", flavor=wrapped("FlavorPayload", name="m1.small"))
    payload = wrapped(
        "ComputeTaskPayload",
        instance_uuid=UUID,
        state="active",
        request_spec=spec,
        reason=fault("NoValidHost", "No valid host was found."),
    )
    event = one(envelope("compute_task.migrate_server.error", payload, "nova-conductor:ctl"))
    assert (event["scope"], event["phase"], event["action"]) == ("REQUEST", "ERROR", None)
    assert event["source"]["signal"] == "compute_task.migrate_server"
    assert (event["instance"]["vm_state"], event["instance"]["flavor"]) == ("active", "m1.small")
    assert (event["owner_project_id"], event["request_id"]) == ("blue", REQUEST)
    assert event["failure"]["reason"] == "No valid host was found."


def test_update_has_old_and_new_state():
    update = wrapped(
        "InstanceStateUpdatePayload",
        old_state="building",
        state="active",
        old_task_state="spawning",
        new_task_state=None,
    )
    event = one(versioned("instance.update", state="building", task_state="spawning", state_update=update))
    assert (event["phase"], event["scope"]) == ("PROGRESS", "INSTANCE")
    instance_state = event["instance"]
    assert (instance_state["old_vm_state"], instance_state["vm_state"]) == ("building", "active")
    assert (instance_state["old_task_state"], instance_state["task_state"]) == ("spawning", None)


def test_periodic_task_has_no_initiator_and_the_request_id_of_its_context():
    message = versioned(
        "instance.shelve_offload.start",
        request_id=None,
        action_initiator_user=None,
        action_initiator_project=None,
    )
    event = one(message, {"request_id": "req-periodic", "user_id": None, "project_id": None})
    assert (event["request_id"], event["initiator_user_id"]) == ("req-periodic", None)
    assert one(message, {})["request_id"] is None
    assert one(message, None)["request_id"] is None


@pytest.mark.parametrize(
    ("event_type", "publisher", "expected"),
    [
        ("instance.resize_prep.start", "nova-compute:host2", ("host1", "host2", "compute_prep_resize")),
        ("instance.resize.start", "nova-compute:host1", ("host1", None, "compute_resize_instance")),
        ("instance.resize.error", "nova-compute:host2", ("host1", "host2", "compute_prep_resize")),
        ("instance.live_migration_rollback.start", "nova-compute:host1", ("host1", None, None)),
        ("instance.rebuild_scheduled", "nova-conductor:host2", (None, "host2", "rebuild_server")),
    ],
)
def test_move_has_source_host_destination_host_and_step(event_type: str, publisher: str, expected: tuple):
    event = one(versioned(event_type, publisher))
    assert (event["source_host"], event["dest_host"], event["step"]) == expected
    assert event["host"] == (None if "scheduled" in event_type else publisher.split(":")[1])


def test_local_delete_has_no_step():
    assert one(versioned("instance.delete.end", "nova-api:ctl"))["step"] is None
    assert one(versioned("instance.delete.end"))["step"] == "compute_terminate_instance"


def test_resize_prep_has_both_flavors():
    event = one(versioned("instance.resize_prep.start", new_flavor=wrapped("FlavorPayload", name="m1.large")))
    assert (event["old_flavor"], event["new_flavor"]) == ("m1.small", "m1.large")


def test_unknown_signal_gives_an_event_without_action_and_step():
    event = one(versioned("instance.levitate.end"))
    assert (event["source"]["signal"], event["phase"]) == ("instance.levitate", "END")
    assert (event["action"], event["step"]) == (None, None)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (versioned("instance.exists"), "not_an_action"),
        (versioned("keypair.create.start"), "not_an_action"),
        (versioned("magic.create.start"), "unknown_event_type"),
        (versioned("instance.create.end", uuid="nonsense"), "no_instance"),
        (versioned("instance.create.end") | {"payload": 5}, "malformed"),
        (versioned("instance.create.end") | {"timestamp": "yesterday"}, "no_identity"),
        (versioned("instance.create.end") | {"message_id": None}, "no_identity"),
        (None, "no_identity"),
    ],
)
def test_ignored_notification_returns_the_reason(message: object, reason: str):
    assert read_notification(message, CONTEXT) == ([], reason)
