"""User and password of a URL are separated from it."""

from __future__ import annotations

import pytest

from stumble.settings.urls import split_user


@pytest.mark.parametrize(
    ("url", "address", "user"),
    [
        ("http://127.0.0.1:8686", "http://127.0.0.1:8686", None),
        ("http://u:one%20two@h:1/x?y=1", "http://h:1/x?y=1", ("u", "one two")),
        ("http://u:one/two@three@h/x", "http://h/x", ("u", "one/two@three")),
        ("http://:one@[::1]:8081/", "http://[::1]:8081/", ("", "one")),
        ("http://u@h/", "http://h/", ("u", "")),
    ],
)
def test_user_and_password_are_split_from_a_url(url: str, address: str, user: tuple[str, str] | None):
    assert split_user(url) == (address, user)
