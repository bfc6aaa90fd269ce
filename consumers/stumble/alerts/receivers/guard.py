"""Restricts webhooks to public addresses and to the networks that the operator allows.

A subscriber's host name is resolved once and the connection uses that address, so that the name cannot resolve to
another address afterwards (server-side request forgery, DNS rebinding).

Sources: IANA's IPv4 and IPv6 special-purpose address registries (iana-ipv4-special-registry,
iana-ipv6-special-registry), ipv6-address-space (only 2000::/3 is global unicast), RFC 6052 (NAT64). They are listed
here because ``is_global`` of Python's ``ipaddress`` differs between Python's releases.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit, urlunsplit

from stumble.wire.errors import StumbleError

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared address space of carriers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, and a metadata service
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunneling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
#: The well-known prefix of NAT64: the last 32 bits are the IPv4 address that the packets reach.
_NAT64 = IPv6Network("64:ff9b::/96")


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
    reached = _reached_address(parsed)
    if not _is_public(reached) and not any(reached in network or parsed in network for network in allowed):
        shown = host if host == address else f"{host} ({address})"
        raise ForbiddenAddressError(
            f"{shown} is not a public address: add its network to STUMBLE_ALERTS_WEBHOOK_NETWORKS to allow it."
        )
    authority = f"[{address}]" if parsed.version == 6 else address
    return urlunsplit((parts.scheme, f"{authority}:{port}", parts.path or "/", parts.query, "")), host


def _reached_address(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that packets to an IPv6 address reach, where the address contains it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)
