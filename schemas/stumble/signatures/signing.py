"""The private key of a relay: creates the file, and signs records with it."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from stumble.signatures.errors import SigningKeyUnusable
from stumble.signatures.record_signature import key_id_of, signature_header, signed_bytes
from stumble.wire.headers import Header

_OTHERS_MAY = stat.S_IRWXO | stat.S_IWGRP


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A new key pair: the file of the private key, and what a file of public keys says about the public one."""

    path: Path
    key_id: str
    #: The raw public key in Base64.
    public_key: str


class RecordSigner:
    """Signs records with the key in a PEM file (PKCS #8, not encrypted). Raises ``SigningKeyUnusable``."""

    def __init__(self, path: Path) -> None:
        self._key = _load(path)
        self.key_id = key_id_of(self._key.public_key().public_bytes_raw())

    def header(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Iterable[Header]
    ) -> tuple[str, bytes]:
        """Return the header with the signature of a record."""
        return signature_header(self.key_id, self._key.sign(signed_bytes(topic, key, value, headers)))


def create_signing_key(directory: Path) -> CreatedKey:
    """Create a key pair and write the private key to a new file that only this user may read. Raises ``OSError``."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    path = directory / f"signing-{key_id_of(public)}.pem"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as target:
        target.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        target.flush()
        os.fsync(target.fileno())
    return CreatedKey(path, key_id_of(public), base64.b64encode(public).decode())


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        with path.open("rb") as source:
            mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode)
            content = source.read()
    except OSError as error:
        raise SigningKeyUnusable(f"The signing key {path} cannot be read: {error.strerror}.") from None
    if mode & _OTHERS_MAY:
        raise SigningKeyUnusable(
            f"The signing key {path} has mode {mode:04o}, so other users can use it: chmod 0600 {path}, and "
            "replace the key if others could read it."
        )
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # the library's text may quote the file
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyUnusable(
            f"The signing key {path} is not an Ed25519 key in PEM without a password: create one with "
            "`stumble keys generate`."
        )
    return key
