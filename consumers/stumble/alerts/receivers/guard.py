"""Restricts webhooks to public addresses and to the networks that the operator allows.

A subscriber's host name is resolved once and the connection uses that address, so that the name cannot resolve to
another address afterwards (server-side request forgery, DNS rebinding).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit, urlunsplit

from stumble.wire.errors import StumbleError


class ForbiddenAddressError(StumbleError):
    """Webhooks to this address are not allowed."""


def resolve_address(url: str, allowed: Sequence[IPv4Network | IPv6Network]) -> tuple[str, str]:
    """Return the URL with the address instead of its host name, and the name.

    Raises ``ForbiddenAddressError``, and ``OSError`` if the name cannot be resolved.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    result = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    address = str(result[0][4][0])
    parsed = ip_address(address.partition("%")[0])
    if not parsed.is_global and not any(parsed in network for network in allowed):
        shown = host if host == address else f"{host} ({address})"
        raise ForbiddenAddressError(
            f"{shown} is not a public address: add its network to STUMBLE_ALERTS_WEBHOOK_NETWORKS to allow it."
        )
    authority = f"[{address}]" if parsed.version == 6 else address
    return urlunsplit((parts.scheme, f"{authority}:{port}", parts.path or "/", parts.query, "")), host
