"""Encrypts the secrets of subscriptions, so that neither the database nor its backups contain them.

A stored secret is a Fernet token (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec) of the id of the
subscription and its secret: a token that somebody copies to another subscription is rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from pydantic import SecretStr

#: The beginning of a secret in the format of Standard Webhooks.
SECRET_PREFIX = "whsec_"  # noqa: S105 - no secret
_SETTING = "STUMBLE_SUBSCRIPTION_KEYS (the file subscription_keys in the secrets directory)"


class SecretCipherError(StumbleError):
    """A secret cannot be encrypted or decrypted with the configured keys."""


class SecretCipher:
    """Encrypts with the first of its keys and decrypts with any of them; without keys it rejects both."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [Fernet(key) for key in keys]

    @classmethod
    def of(cls, keys: SecretStr | None) -> SecretCipher:
        """Return the cipher for the setting `subscription_keys`."""
        return cls(keys.get_secret_value().split() if keys else ())

    def require_key(self) -> None:
        """Raise ``SecretCipherError`` if no key is configured."""
        if not self._keys:
            raise SecretCipherError(
                "The secret of a subscription is stored only encrypted, and no key is configured: set "
                f"{_SETTING} of API and alerter to what `stumble subscriptions new-key` prints."
            )

    def encrypt(self, subscription_id: str, secret: str) -> str:
        """Return a secret as it is stored. Raises ``SecretCipherError`` without a key."""
        self.require_key()
        return self._keys[0].encrypt(f"{subscription_id} {secret}".encode()).decode()

    def decrypt(self, subscription_id: str, stored: str) -> str:
        """Return a stored secret. Raises ``SecretCipherError``."""
        secret = _decrypted(self._keys, subscription_id, stored)
        if secret is None:
            raise SecretCipherError(
                f"The secret of subscription {subscription_id} cannot be decrypted with the keys in {_SETTING}; "
                "`stumble check receivers` says what to do."
            )
        return secret

    def encrypt_again(self, subscription_id: str, stored: str) -> str:
        """Encrypt a stored secret, also one in plain text, with the first key. Raises ``SecretCipherError``."""
        is_plain = stored.startswith(SECRET_PREFIX)
        return self.encrypt(subscription_id, stored if is_plain else self.decrypt(subscription_id, stored))

    def is_readable(self, subscription_id: str, stored: str) -> bool:
        """Return whether a stored secret can be decrypted."""
        return _decrypted(self._keys, subscription_id, stored) is not None

    def is_current(self, subscription_id: str, stored: str) -> bool:
        """Return whether a stored secret is encrypted with the first key."""
        return _decrypted(self._keys[:1], subscription_id, stored) is not None


def new_key() -> str:
    """Return a new random key."""
    return Fernet.generate_key().decode()


def _decrypted(keys: Sequence[Fernet], subscription_id: str, stored: str) -> str | None:
    if not keys:
        return None
    try:
        owner, _, secret = MultiFernet(keys).decrypt(stored.encode()).decode().partition(" ")
    except InvalidToken:
        return None
    return secret if owner == subscription_id else None
