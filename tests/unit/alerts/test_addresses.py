"""Addresses of webhook receivers."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stumble.alerts.receivers.guard import ForbiddenAddressError, resolve_address

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


def is_allowed(host: str, *networks: str) -> bool:
    try:
        resolve_address(f"http://{host}/", [ip_network(network) for network in networks])
    except (ForbiddenAddressError, OSError):  # OSError: the resolver rejects this form of an address
        return False
    return True


def test_url_gets_the_address_and_tls_gets_the_name() -> None:
    url, name = resolve_address("https://localhost:8443/hook?x=1", LOOPBACK)
    assert url in {"https://127.0.0.1:8443/hook?x=1", "https://[::1]:8443/hook?x=1"}
    assert name == "localhost"


def test_address_outside_the_allowed_networks_is_rejected() -> None:
    with pytest.raises(ForbiddenAddressError, match=r"^localhost .* is not a public address"):
        resolve_address("https://localhost/", [])


@pytest.mark.parametrize(
    "host",
    [
        *("0.0.0.0", "0", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001"),
        *("10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254"),
        *("192.0.0.1", "192.0.0.9", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
        *("203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("[::]", "[::1]", "[::127.0.0.1]", "[::8.8.8.8]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]"),
        *("[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::808:808]"),
        *("[2002:7f00:1::]", "[2002:808:808::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[2001:2::1]"),
        *("[100::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[4000::1]", "[fc00::1]", "[fd00:ec2::254]"),
        *("[fe80::1]", "[fe80::1%1]", "[fec0::1]", "[ff02::1]", "[ff0e::1]"),
    ],
)
def test_special_purpose_address_is_rejected(host: str) -> None:
    assert not is_allowed(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]"])
def test_public_address_is_allowed(host: str) -> None:
    assert is_allowed(host)


def test_address_with_an_embedded_address_of_an_allowed_network_is_allowed() -> None:
    assert is_allowed("[64:ff9b::a00:1]", "10.0.0.0/8")
    assert is_allowed("[::ffff:10.0.0.1]", "10.0.0.0/8")
    assert not is_allowed("[64:ff9b::a00:1]", "11.0.0.0/8")


@given(st.integers(0, 2**32 - 1))
def test_embedded_address_is_allowed_exactly_if_the_address_itself_is(number: int) -> None:
    low = f"{number >> 16:x}:{number & 0xFFFF:x}"
    expected = is_allowed(str(IPv4Address(number)))
    assert is_allowed(f"[::ffff:{low}]") == expected
    assert is_allowed(f"[64:ff9b::{low}]") == expected
    assert expected <= IPv4Address(number).is_global
