"""Errors about keys and signatures."""

from __future__ import annotations

from typing import Literal

from stumble.wire.errors import StumbleError

#: Why a record is rejected. `damaged`: the signature's header or the record's headers cannot be read. `foreign_host`:
#: the signature is valid, but its key may not name this host.
RejectionReason = Literal["unsigned", "damaged", "unknown_key", "expired_key", "invalid", "foreign_host"]


class SigningKeyUnusable(StumbleError):
    """The file of the private key is missing, readable by every user, or not an Ed25519 key."""


class PublicKeysUnusable(StumbleError):
    """The file of public keys is missing, writable by every user, or has a mistake."""


class SignatureRejected(StumbleError):
    """A record has no valid signature, or names a host for which its key is not valid.

    `is_final`: the file of public keys says so; otherwise a file with one line more might accept the record.
    """

    def __init__(self, reason: RejectionReason, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.is_final = is_final
