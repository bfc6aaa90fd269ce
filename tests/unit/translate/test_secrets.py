"""Secrets in any field of Nova's payloads appear in no event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stumble.translate import translate_notification, translate_tap
from tests.unit.translate import samples

CANARY = "canary-0123456789"
CONTEXT = samples.CONTEXT | {
    "auth_token": CANARY,
    "service_catalog": [{"endpoints": CANARY}],
    "service_token": CANARY,
    "user_name": CANARY,
}
SECRET: dict[str, Any] = {
    "user_data": CANARY,
    "key_data": CANARY,
    "system_metadata": {"password_0": CANARY},
    "metadata": {"x": CANARY},
    "_context": CONTEXT,
    "ctxt": CONTEXT,
    "injected_files": [CANARY],
    "admin_pass": CANARY,
    "new_pass": CANARY,
    "bdms": [{"connection_info": {"auth_password": CANARY}}],
    "connection_info": CANARY,
    "_context_auth_token": CANARY,
    "_unique_id": CANARY,
}
TEXT = (
    f"cannot log in: password={CANARY} auth_token: '{CANARY}' adminPass=\"{CANARY}\" "
    f"{{'auth_password': '{CANARY}'}} https://cinder:{CANARY}@storage/ X-Auth-Token: {CANARY} "
    f"secret_key={CANARY}, admin_pass: {CANARY}"
)


def messages() -> list[dict]:
    bdm = {"volume_id": "vol-1", "connection_info": {"data": {"auth_password": CANARY}}}
    instance = samples.instance(**SECRET)
    failure = {"kwargs": {"code": 500, "reason": TEXT}, "message": TEXT, "class": "BuildAbortException"}
    external = {"_obj_instance_uuid": samples.UUID, "_obj_name": "volume-extended", "_obj_tag": "vol-1", **SECRET}
    build = {"instance_id": samples.UUID, "instance_properties": instance, "reason": str(failure), **SECRET}
    return [
        samples.versioned("instance.create.error", fault=samples.fault("NoValidHost", TEXT, TEXT), **SECRET),
        samples.legacy("compute.instance.create.error", exception=str(failure), message=TEXT, **SECRET),
        samples.legacy("compute.instance.create.error", exception=failure, message=TEXT, **SECRET),
        samples.wrapped_exception("attach_volume", f"ValueError({TEXT!r})", instance=instance, bdm=bdm, **SECRET),
        samples.wrapped_exception("external_instance_event", str(failure), instances=[instance], events=[external]),
        samples.envelope("compute_task.build_instances", build, "compute_task.ctl"),
        samples.envelope("compute.exception", samples.fault("NoValidHost", TEXT, TEXT), "nova-compute:host1"),
    ]


@pytest.mark.parametrize("message", messages(), ids=lambda message: message["event_type"])
def test_no_secret_of_a_notification_is_in_its_events(message: dict):
    message |= {"_context_auth_token": CANARY, "_context": CONTEXT, "_unique_id": CANARY}
    events = translate_notification(message, CONTEXT)
    assert events
    assert CANARY not in json.dumps(events)


def test_no_secret_of_a_tap_call_is_in_its_events():
    call = {
        "kind": "fault",
        "call_id": "c",
        "time_us": samples.TIME_US,
        "instance_uuid": samples.UUID,
        "exception": {"class": "NoValidHost", "message": TEXT, "traceback": TEXT},
        "instance": SECRET,
        "migration": SECRET,
        **SECRET,
    }
    events = translate_tap(call, CONTEXT)
    assert events
    assert CANARY not in json.dumps(events)


def test_secret_at_the_cut_of_a_long_traceback_is_masked():
    for position in range(16_330, 16_400, 3):
        text = "x " * (position // 2) + f"password='{CANARY}' " + "y " * 30_000
        message = samples.versioned("instance.create.error", fault=samples.fault("NoValidHost", text, text))
        events = translate_notification(message, CONTEXT)
        assert len(events) == 1
        assert "0123456789" not in json.dumps(events)
