"""What Nova's own API shows of a request afterwards, as the server's owner sees it."""

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
    """Return status, task state and fault of the server; None when it does not exist."""
    body = _get(cloud.user_api, f"/servers/{server}")
    if body is None:
        return None
    shown = body["server"]
    return {
        "status": shown["status"],
        "vm_state": shown["OS-EXT-STS:vm_state"],
        "task_state": shown["OS-EXT-STS:task_state"],
        "fault": (shown.get("fault") or {}).get("message"),
    }


def of_request(cloud: Cloud, server: str, request_id: str) -> dict[str, Any] | None:
    """Return the action record that os-instance-actions shows to an ordinary user; None when there is none."""
    body = _get(cloud.user_api, f"/servers/{server}/os-instance-actions/{request_id}")
    if body is None:
        return None
    shown = body["instanceAction"]
    return {
        "action": shown["action"],
        "message": shown["message"],
        "events": [
            {"event": event["event"], "result": event["result"], "details": event.get("details")}
            for event in reversed(shown["events"])
        ],
    }
