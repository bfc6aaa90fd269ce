"""What Nova itself says of a request afterwards, as the server's owner sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nova.tests.functional.api import client

if TYPE_CHECKING:
    from novaharness.cloud import Cloud


def _get(api: Any, path: str) -> dict[str, Any] | None:
    try:
        return api.api_get(path).body
    except client.OpenStackApiException:
        return None


def of_server(cloud: Cloud, server: str) -> dict[str, Any] | None:
    """Return status, task state and fault of the server; None when it is gone."""
    body = _get(cloud.user_api, f"/servers/{server}")
    if body is None:
        return None
    found = body["server"]
    return {
        "status": found["status"],
        "vm_state": found["OS-EXT-STS:vm_state"],
        "task_state": found["OS-EXT-STS:task_state"],
        "fault": (found.get("fault") or {}).get("message"),
    }


def of_request(cloud: Cloud, server: str, request_id: str) -> dict[str, Any] | None:
    """Return the action record that os-instance-actions shows to an ordinary user; None when there is none."""
    body = _get(cloud.user_api, f"/servers/{server}/os-instance-actions/{request_id}")
    if body is None:
        return None
    found = body["instanceAction"]
    return {
        "action": found["action"],
        "message": found["message"],
        "events": [
            {"event": event["event"], "result": event["result"], "details": event.get("details")}
            for event in reversed(found["events"])
        ],
    }
