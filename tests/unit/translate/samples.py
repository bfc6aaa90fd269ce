"""Small notifications in the forms that Nova sends."""

from __future__ import annotations

UUID = "178b0921-8f85-4257-88b6-2e743b5a975c"
OTHER = "22222222-8f85-4257-88b6-2e743b5a975c"
REQUEST = "req-5b6c791d-5709-4f36-8fbe-c3e02869e35d"
TIME = "2026-11-22 08:19:54.557150"
TIME_US = 1795335594557150
CONTEXT = {"request_id": REQUEST, "global_request_id": "req-global", "user_id": "alice", "project_id": "blue"}


def wrapped(name: str, /, **data: object) -> dict:
    return {
        "nova_object.data": data,
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": "1.1",
    }


def envelope(event_type: str, payload: object, publisher: str, **other: object) -> dict:
    return {
        "message_id": "6d0e5f3f-0000-4000-8000-000000000001",
        "publisher_id": publisher,
        "event_type": event_type,
        "priority": "INFO",
        "payload": payload,
        "timestamp": TIME,
        **other,
    }


def fault(
    name: str = "CinderConnectionFailed", message: str = "no route to cinder", traceback: str = "Traceback"
) -> dict:
    return wrapped(
        "ExceptionPayload",
        exception=name,
        exception_message=message,
        module_name="nova.volume.cinder",
        function_name="attach",
        traceback=traceback,
    )


def versioned(event_type: str, publisher: str = "nova-compute:host1", **data: object) -> dict:
    known = {
        "uuid": UUID,
        "tenant_id": "blue",
        "user_id": "alice",
        "action_initiator_user": "admin",
        "action_initiator_project": "ops",
        "request_id": REQUEST,
        "state": "active",
        "task_state": None,
        "power_state": "running",
        "display_name": "web-1",
        "host": "host1",
        "node": "node1",
        "availability_zone": "az1",
        "flavor": wrapped("FlavorPayload", name="m1.small", extra_specs={}),
        "image_uuid": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
        "fault": None,
        "metadata": {"canary": "do-not-copy"},
    }
    return envelope(event_type, wrapped("InstanceActionPayload", **(known | data)), publisher)


def legacy(event_type: str, publisher: str = "compute.host1", **data: object) -> dict:
    known = {
        "instance_id": UUID,
        "tenant_id": "blue",
        "user_id": "alice",
        "state": "active",
        "state_description": "",
        "display_name": "web-1",
        "host": "host1",
        "node": "node1",
        "availability_zone": "az1",
        "instance_type": "m1.small",
        "image_meta": {"base_image_ref": "155d900f-4e14-4e4c-a73d-069cbf4541e6"},
        "metadata": {"canary": "do-not-copy"},
    }
    return envelope(event_type, known | data, publisher)


def instance(uuid: str = UUID, **other: object) -> dict:
    return {
        "uuid": uuid,
        "project_id": "blue",
        "vm_state": "active",
        "task_state": "powering-off",
        "display_name": "web-1",
        "node": "node1",
        "flavor": {"name": "m1.small"},
        "user_data": "canary-user-data",
        "key_data": "canary-key-data",
        "system_metadata": {"canary": "canary-system-metadata"},
        **other,
    }


def wrapped_exception(method: str, exception: object, publisher: str = "compute.host1", **args: object) -> dict:
    return envelope(method, {"exception": exception, "args": args}, publisher, priority="ERROR")


POWER_OFF_FAILURE = (
    "{'kwargs': {'reason': 'it\\'s stuck', 'code': 400}, 'message': \"Failed to power off instance: it's stuck\", "
    "'class': 'InstancePowerOffFailure'}"
)
