"""Where webhooks may go: to public addresses, and to the networks that the operator names.

A subscriber's address is looked up once and the connection goes to what was looked at, so that a name can't point
somewhere else a moment later (server-side request forgery, DNS rebinding).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit, urlunsplit

from stumble.wire.errors import StumbleError


class ForbiddenAddressError(StumbleError):
    """The address is not one that webhooks may go to."""


def resolve(url: str, allowed: Sequence[IPv4Network | IPv6Network]) -> tuple[str, str]:
    """Return the URL with its address in the place of its name, and the name.

    Raises ``ForbiddenAddressError``, and ``OSError`` where the name leads nowhere.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    result = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    address = str(result[0][4][0])
    parsed = ip_address(address.partition("%")[0])
    if not parsed.is_global and not any(parsed in network for network in allowed):
        what = f"{host} is no public address" if host == address else f"{host} is {address}, which is no public address"
        raise ForbiddenAddressError(f"{what}: name its network in STUMBLE_ALERTS_WEBHOOK_NETWORKS.")
    host = f"[{address}]" if parsed.version == 6 else address
    return urlunsplit((parts.scheme, f"{host}:{port}", parts.path or "/", parts.query, "")), host
