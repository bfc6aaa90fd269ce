"""Subscriptions whose secret the test knows."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Connection

from stumble.alerts import subscriptions
from stumble.alerts.secret_cipher import SecretCipher, new_key

#: The key of APIs and alerters in the tests of a process.
KEY = new_key()
CIPHER = SecretCipher([KEY])


class Subscribed(NamedTuple):
    """A subscription, and its secret in plain text."""

    id: str
    secret: str


def subscribe(connection: Connection[Any], url: str, **options: Any) -> Subscribed:
    """Add a subscription."""
    secret = options.pop("secret", None) or subscriptions.new_secret()
    return Subscribed(subscriptions.add(connection, CIPHER, url, secret=secret, **options).id, secret)
