"""Restricts the API to programs of this machine and to its own pages.

A web page elsewhere could otherwise use the API through a visitor's browser: with a name that resolves to loopback, or
by requests to another origin, for which another port of this machine is enough.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request

from stumble.api.middleware import HttpMiddleware
from stumble.api.problems import problem
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

#: A `Host` header (RFC 9110, 7.2): an IPv6 address in brackets, or a name or IPv4 address, and a port.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@\s]+))(?::[0-9]{1,5})?")
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_NOT_LOOPBACK = "This API answers on loopback only; call it as http://127.0.0.1 or http://localhost."
_FOREIGN_PAGE = "This API accepts requests only from its own pages and from programs of this machine."


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


class LocalCallers(HttpMiddleware):
    """ASGI middleware that refuses requests whose `Host` is not loopback, and requests of pages of another origin."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reason = None if _names_loopback(headers.get("host", "")) else _NOT_LOOPBACK
        reason = reason or (_FOREIGN_PAGE if _is_of_foreign_page(scope["method"], headers) else None)
        await (problem(Request(scope), 400, reason) if reason else self._app)(scope, receive, send)


def _names_loopback(header: str) -> bool:
    parts = _HOST.fullmatch(header)
    return parts is not None and is_loopback(parts[1] or parts[2])


def _is_of_foreign_page(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a page of another origin sent the request, by the headers that a browser adds.

    Sources: https://fetch.spec.whatwg.org/#origin-header, https://www.w3.org/TR/fetch-metadata/. A link to a page of
    the API may be followed from anywhere. Programs send none of these headers.
    """
    own = f"http://{headers['host']}".lower()
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin is not None and origin.lower() != own:
        return True
    is_navigation = method in _SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"
    if site not in {"same-origin", "none"} and not is_navigation:
        return True
    referrer = headers.get("referer")
    return method not in _SAFE_METHODS and origin is None and referrer is not None and _origin_of(referrer) != own


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()
