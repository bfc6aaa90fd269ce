"""Messages that differ only in ids, addresses or numbers are one problem."""

from __future__ import annotations

import pytest

from stumble.outcome.fingerprint import fingerprint_of, message_hash, normalise_message


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        ("Instance 0b7b2d5e-6f3a-4c55-8a4e-0d9c1b2a3f44 could not be found.", "Instance * could not be found."),
        ("Volume 0b7b2d5e6f3a4c558a4e0d9c1b2a3f44 is gone", "Volume * is gone"),
        ("Connection to 192.168.10.11:5672 refused", "Connection to * refused"),
        ("net 10.0.0.0/24 is full", "net * is full"),
        ("fe80::1ff:fe23:4567:890a is unreachable", "* is unreachable"),
        ("port fa:16:3e:11:22:33 is down", "port * is down"),
        ("Request req-0b7b2d5e-6f3a-4c55-8a4e-0d9c1b2a3f44 timed out after 60 s", "Request * timed out after * s"),
        ("No space at /var/lib/nova/instances/_base/3f44 left", "No space at * left"),
        ("host compute-17 has  3\nerrors", "host compute-* has * errors"),
    ],
)
def test_normalise_replaces_ids_addresses_paths_and_numbers(message: str, normal: str) -> None:
    assert normalise_message(message) == normal


def test_message_cut_by_nova_at_255_characters_has_the_same_hash() -> None:
    text = "Unexpected error while running command. " * 20
    assert message_hash(text) == message_hash(text[:255])


def test_fingerprint_depends_on_action_class_and_message() -> None:
    one = fingerprint_of("stop", "libvirtError", message_hash("boom"))
    assert one.startswith("v1:")
    assert one == fingerprint_of("stop", "libvirtError", message_hash("boom"))
    assert (
        len(
            {
                one,
                fingerprint_of("start", "libvirtError", message_hash("boom")),
                fingerprint_of("stop", "libvirtError", None),
            }
        )
        == 3
    )


def test_hostile_message_is_normalised_quickly() -> None:
    for text in ("/" * 20_000, "a:" * 20_000, "1." * 20_000, "f" * 20_000, "\ud800" * 100):
        assert len(normalise_message(text)) <= 200
