"""Addresses of webhook receivers."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from stumble.alerts.receivers.guard import ForbiddenAddressError, resolve_address

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


def test_url_gets_the_address_and_tls_gets_the_name() -> None:
    url, name = resolve_address("https://localhost:8443/hook?x=1", LOOPBACK)
    assert url in {"https://127.0.0.1:8443/hook?x=1", "https://[::1]:8443/hook?x=1"}
    assert name == "localhost"


def test_address_outside_the_allowed_networks_is_rejected() -> None:
    with pytest.raises(ForbiddenAddressError, match=r"^localhost .* is not a public address"):
        resolve_address("https://localhost/", [])
