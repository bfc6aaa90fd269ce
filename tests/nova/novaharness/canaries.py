"""Secrets that every scenario carries along, in each place where Nova keeps one: nothing may show them afterwards.

Plain values and functions on plain data, but for :func:`plant`: the tests outside Nova's environment read them too.
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
"""Every canary begins with it, and nothing else does."""
PLACES = ("token", "user_data", "metadata", "system_metadata", "injected_file", "admin_password", "connection_info")
VALUES = {place: f"{MARK}{place}-3f9c" for place in PLACES}
"""Place to the secret planted there."""

_OLD = "2.56"
"""The last microversion that takes personality (files to inject)."""
_OLD_CREATE = frozenset(
    ("name", "imageRef", "flavorRef", "networks", "min_count", "max_count", "block_device_mapping_v2")
)


def encoded(text: str) -> str:
    """Return text in base64, as user data and files are sent."""
    return base64.b64encode(text.encode()).decode()


def plant(cloud: Cloud) -> None:
    """Put canaries into what the cloud's requests, images and volumes carry. Call once, after the cloud started."""
    for api in (cloud.user_api, cloud.admin_api):
        api.api_request = _with_token(api.api_request)
    cloud.glance.image1["properties"]["canary"] = VALUES["system_metadata"]
    for image in cloud.glance.images.values():
        image["properties"]["canary"] = VALUES["system_metadata"]
    find = cloud.cinder._find_connection_info

    def find_connection_info(volume_id: str, attachment_id: str) -> dict[str, Any]:
        found = find(volume_id, attachment_id)
        found["data"]["auth_password"] = VALUES["connection_info"]
        return found

    cloud.cinder._find_connection_info = find_connection_info


def planted(call: Call, given: str) -> tuple[Any, str | None]:
    """Return the body of a call with canaries in it, and the microversion that this takes (None: the newest)."""
    body = call.body
    if not isinstance(body, Mapping):
        return body, None
    if call.path == "/servers":
        server = body["server"]
        more = {
            "user_data": encoded(VALUES["user_data"]),
            "metadata": {**server.get("metadata", {}), "canary": VALUES["metadata"]},
            "adminPass": VALUES["admin_password"],
        }
        old = set(server) <= _OLD_CREATE
        return {**body, "server": {**server, **more, **(_file() if old else {})}}, _OLD if old else None
    if list(body) == ["rebuild"] and list(body["rebuild"]) == ["imageRef"]:
        old = given == "active"
        more = {"adminPass": VALUES["admin_password"], "metadata": {"canary": VALUES["metadata"]}}
        return {"rebuild": {**body["rebuild"], **more, **(_file() if old else {})}}, _OLD if old else None
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


def seen_in(data: bytes) -> set[str]:
    """Return the places whose canaries are in `data`, as they are or in base64."""
    found = {place for place, value in VALUES.items() if value.encode() in data or _core(value) in data}
    return found | ({"unknown"} if MARK.encode() in data and not found else set())


def _core(value: str) -> bytes:
    """Return what base64 makes of a value, without its end, which depends on what follows."""
    whole = encoded(value)
    return whole[: len(value) // 3 * 4].encode()


class Witness:
    """Notes which canaries Nova hands to its notification drivers: what would come out if payloads were copied."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def install(self, notifiers: Iterable[Any]) -> None:
        """Look at every message that these notifiers' drivers get."""
        for driver in {id(found.obj): found.obj for one in notifiers for found in one._driver_mgr}.values():
            driver.notify = self._noting(driver.notify)

    def write(self, path: pathlib.Path) -> None:
        """Write the places seen, as JSON."""
        path.write_text(json.dumps(sorted(self.seen)))

    def _noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def notify(ctxt: Any, msg: Any, *args: Any, **kwargs: Any) -> Any:
            if len(self.seen) < len(PLACES):
                self.seen |= seen_in(repr((ctxt, msg)).encode())
            return original(ctxt, msg, *args, **kwargs)

        return notify
