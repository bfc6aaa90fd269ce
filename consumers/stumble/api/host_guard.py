"""Restricts the API to clients on this machine, and therefore refuses a foreign `Host`, too.

Otherwise a web page elsewhere could read the API through a visitor's browser, with a name that resolves to loopback.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.requests import Request

from stumble.api.problems import problem
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class NotLoopback(StumbleError):
    """The configured address is not on loopback."""


def is_loopback(host: str) -> bool:
    """Return whether a name or address means this machine and nothing else."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def require_loopback(host: str) -> None:
    """Raise `NotLoopback` unless the address is this machine's own."""
    if not is_loopback(host):
        raise NotLoopback(
            f"The API does not listen on {host}: no authentication is configured, so only 127.0.0.1, ::1 or "
            "localhost are allowed; set STUMBLE_API_HOST or --host.",
        )


class LoopbackHost:
    """ASGI middleware that refuses requests whose `Host` is not loopback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and not is_loopback(_host(Headers(scope=scope).get("host", ""))):
            detail = "This API answers on loopback only; call it as http://127.0.0.1 or http://localhost."
            await problem(Request(scope), 400, detail)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _host(header: str) -> str:
    """Return the `Host` header without its port."""
    if header.startswith("["):
        return header.partition("]")[0]
    return header.partition(":")[0]
