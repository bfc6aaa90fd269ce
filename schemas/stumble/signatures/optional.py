"""Creates signer and verifier where the settings name a file; ``cryptography`` is imported only then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stumble.signatures.signing import RecordSigner
    from stumble.signatures.verification import RecordVerifier


def signer_of(signing_key_file: Path | None) -> RecordSigner | None:
    """Return a signer with the key in a file, None without one. Raises ``SigningKeyUnusable``."""
    if signing_key_file is None:
        return None
    from stumble.signatures.signing import RecordSigner  # noqa: PLC0415

    return RecordSigner(signing_key_file)


def verifier_of(public_keys_file: Path | None) -> RecordVerifier | None:
    """Return a verifier with the keys in a file, None without one. Raises ``PublicKeysUnusable``."""
    if public_keys_file is None:
        return None
    from stumble.signatures.verification import RecordVerifier  # noqa: PLC0415

    return RecordVerifier(public_keys_file)
