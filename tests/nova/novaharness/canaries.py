"""Secrets of every kind that Nova stores; every scenario contains them, and no output may contain them afterwards.

Except :func:`plant` only plain values, and functions on plain data: tests outside Nova's environment import them too.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pathlib

    from novaharness.cloud import Cloud
    from novaharness.vocabulary import Call

MARK = "canary-"
"""Every canary begins with it, and no other text does."""
KINDS = ("token", "user_data", "metadata", "system_metadata", "injected_file", "admin_password", "connection_info")
VALUES = {kind: f"{MARK}{kind}-3f9c" for kind in KINDS}
"""Kind → the secret."""

_OLD = "2.56"
"""The last microversion with personality (files to inject)."""
_OLD_CREATE = frozenset(
    ("name", "imageRef", "flavorRef", "networks", "min_count", "max_count", "block_device_mapping_v2")
)


def encoded(text: str) -> str:
    """Return text in base64, as user data and files are sent."""
    return base64.b64encode(text.encode()).decode()


def plant(cloud: Cloud) -> None:
    """Put canaries into the cloud's requests, images and volumes. Call once, after the cloud started."""
    for api in (cloud.user_api, cloud.admin_api):
        api.api_request = _with_token(api.api_request)
    cloud.glance.image1["properties"]["canary"] = VALUES["system_metadata"]
    for image in cloud.glance.images.values():
        image["properties"]["canary"] = VALUES["system_metadata"]
    find = cloud.cinder._find_connection_info

    def find_connection_info(volume_id: str, attachment_id: str) -> dict[str, Any]:
        info = find(volume_id, attachment_id)
        info["data"]["auth_password"] = VALUES["connection_info"]
        return info

    cloud.cinder._find_connection_info = find_connection_info


def planted(call: Call, given: str) -> tuple[Any, str | None]:
    """Return the body of a call with canaries, and the microversion that it needs (None: the newest)."""
    body = call.body
    if not isinstance(body, Mapping):
        return body, None
    if call.path == "/servers":
        server = body["server"]
        added = {
            "user_data": encoded(VALUES["user_data"]),
            "metadata": {**server.get("metadata", {}), "canary": VALUES["metadata"]},
            "adminPass": VALUES["admin_password"],
        }
        with_file = set(server) <= _OLD_CREATE
        return {**body, "server": {**server, **added, **(_file() if with_file else {})}}, _OLD if with_file else None
    if list(body) == ["rebuild"] and list(body["rebuild"]) == ["imageRef"]:
        with_file = given == "active"
        added = {"adminPass": VALUES["admin_password"], "metadata": {"canary": VALUES["metadata"]}}
        return {"rebuild": {**body["rebuild"], **added, **(_file() if with_file else {})}}, _OLD if with_file else None
    if body in ({"evacuate": {}}, {"rescue": None}):
        return {next(iter(body)): {"adminPass": VALUES["admin_password"]}}, None
    return body, None


def _file() -> dict[str, Any]:
    return {"personality": [{"path": "/etc/secret", "contents": encoded(VALUES["injected_file"])}]}


def _with_token(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def api_request(*args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("headers", {})["X-Auth-Token"] = VALUES["token"]
        return original(*args, **kwargs)

    return api_request


def kinds_in(data: bytes) -> set[str]:
    """Return the kinds of the canaries in `data`, plain or in base64."""
    kinds = {kind for kind, value in VALUES.items() if value.encode() in data or _core(value) in data}
    return kinds | ({"unknown"} if MARK.encode() in data and not kinds else set())


def _core(value: str) -> bytes:
    """Return a value in base64, without the end, which depends on the bytes after it."""
    whole = encoded(value)
    return whole[: len(value) // 3 * 4].encode()


class Witness:
    """Records which canaries Nova passes to its notification drivers: those that a copy of the payload would have."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def install(self, notifiers: Iterable[Any]) -> None:
        """Search every message of these notifiers' drivers."""
        for driver in {id(each.obj): each.obj for one in notifiers for each in one._driver_mgr}.values():
            driver.notify = self._recording(driver.notify)

    def write(self, path: pathlib.Path) -> None:
        """Write the recorded kinds as JSON."""
        path.write_text(json.dumps(sorted(self.seen)))

    def _recording(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def notify(ctxt: Any, msg: Any, *args: Any, **kwargs: Any) -> Any:
            if len(self.seen) < len(KINDS):
                self.seen |= kinds_in(repr((ctxt, msg)).encode())
            return original(ctxt, msg, *args, **kwargs)

        return notify
