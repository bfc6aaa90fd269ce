from __future__ import annotations

import pytest

from stumble.translate import read_notification, translate_notification
from stumble.translate.names import INSTANCE_SIGNALS, LEGACY_SIGNALS
from tests.unit.translate.samples import (
    CONTEXT,
    POWER_OFF_FAILURE,
    REQUEST,
    UUID,
    envelope,
    fault,
    instance,
    legacy,
    versioned,
    wrapped_exception,
)


def one(message: dict) -> dict:
    (event,) = translate_notification(message, CONTEXT)
    return event


@pytest.mark.parametrize("event_type", sorted(name for name in LEGACY_SIGNALS if name.startswith("compute.instance.")))
def test_legacy_and_versioned_notification_give_the_same_event(event_type: str):
    signal, phase = LEGACY_SIGNALS[event_type]
    suffix = "" if phase == "PROGRESS" else f".{phase.lower()}"
    publisher = "conductor.host1" if "scheduled" in event_type else "compute.host1"
    versioned_event = one(versioned(f"{signal}{suffix}", f"nova-{publisher.replace('.', ':')}", fault=fault()))
    event = one(legacy(event_type, publisher))
    assert signal.partition(".")[2] in INSTANCE_SIGNALS
    assert event["source"]["signal"] == versioned_event["source"]["signal"] == signal
    for name in ("phase", "scope", "instance_uuid", "action", "step", "service", "source_host", "owner_project_id"):
        assert event[name] == versioned_event[name], name
    assert (
        event["event_id"] != versioned_event["event_id"]
        or event["source"]["publisher"] == versioned_event["source"]["publisher"]
    )
    for name in ("vm_state", "display_name", "flavor", "image"):
        assert event["instance"][name] == versioned_event["instance"][name], name


def test_failure_has_the_code_of_its_source():
    exception = (
        "{'kwargs': {'reason': 'z', 'code': 500}, 'message': 'No valid host was found. z', 'class': 'NoValidHost'}"
    )
    message = legacy(
        "compute.instance.create.error", exception=exception, message="No valid host was found. z", code=500
    )
    failure = one(message)["failure"]
    assert (failure["exception"], failure["code"], failure["code_source"]) == ("NoValidHost", 500, "SOURCE")
    assert failure["reason"] == "No valid host was found. z"


def test_update_has_old_and_new_state():
    message = legacy(
        "compute.instance.update",
        old_state="building",
        state="active",
        old_task_state="spawning",
        new_task_state=None,
        state_description="spawning",
    )
    instance_state = one(message)["instance"]
    assert (instance_state["old_vm_state"], instance_state["vm_state"], instance_state["task_state"]) == (
        "building",
        "active",
        None,
    )


def test_failed_method_gives_instance_and_step():
    event = one(wrapped_exception("stop_instance", POWER_OFF_FAILURE, instance=instance(), clean_shutdown=True))
    assert event["source"]["signal"] == "exception"
    assert (event["instance_uuid"], event["request_id"]) == (UUID, REQUEST)
    assert (event["phase"], event["step"]) == ("ERROR", "compute_stop_instance")
    assert event["instance"]["task_state"] == "powering-off"
    failure = event["failure"]
    assert (failure["exception"], failure["code"]) == ("InstancePowerOffFailure", 400)
    assert failure["message"] == "Failed to power off instance: it's stuck"


def test_unknown_method_is_a_step_of_its_name():
    event = one(wrapped_exception("levitate_instance", "ValueError('x')", instance=instance()))
    assert (event["step"], event["action"]) == ("compute_levitate_instance", None)


def test_failed_conductor_method_gives_service_and_step():
    event = one(wrapped_exception("migrate_server", "ValueError('x')", "conductor.ctl", instance=instance()))
    assert (event["service"], event["step"]) == ("nova-conductor", "conductor_migrate_server")


def test_failed_attach_gives_its_volume():
    event = one(wrapped_exception("attach_volume", "ValueError('x')", instance=instance(), bdm={"volume_id": "vol-1"}))
    assert (event["target_kind"], event["target_id"], event["action"]) == ("volume", "vol-1", "attach_volume")


def test_compute_task_error_is_an_error_of_the_request():
    payload = {
        "instance_id": UUID,
        "state": "error",
        "method": "build_instances",
        "reason": "{'kwargs': {'code': 500}, 'message': 'Exceeded max', 'class': 'MaxRetriesExceeded'}",
        "instance_properties": {"project_id": "blue", "display_name": "web-1", "user_data": "canary-user-data"},
        "request_spec": {"num_instances": 1},
    }
    event = one(envelope("compute_task.build_instances", payload, "compute_task.ctl"))
    assert (event["scope"], event["phase"], event["action"]) == ("REQUEST", "ERROR", "create")
    assert (event["service"], event["host"]) == ("nova-conductor", "ctl")
    assert event["failure"]["exception"] == "MaxRetriesExceeded"
    assert (event["owner_project_id"], event["instance"]["vm_state"]) == ("blue", "error")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (legacy("compute.instance.exists"), "not_an_action"),
        (legacy("compute.instance.create_ip.start"), "not_an_action"),
        (legacy("scheduler.select_destinations.start"), "not_an_action"),
        (wrapped_exception("get_vnc_console", "ValueError('x')", instance=instance()), "not_an_action"),
        (wrapped_exception("create_aggregate", "ValueError('x')", aggregate_name="a"), "no_instance"),
        (legacy("compute.instance.create.end", instance_id=None), "no_instance"),
        (legacy("something.else"), "unknown_event_type"),
    ],
)
def test_ignored_notification_returns_the_reason(message: dict, reason: str):
    assert read_notification(message, CONTEXT) == ([], reason)
