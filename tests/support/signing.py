"""Keys of relays, and files of public keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stumble.signatures.signing import CreatedKey, RecordSigner, create_signing_key
from stumble.signatures.verification import key_file_line


@dataclass(frozen=True)
class RelayKey:
    """A key pair of a relay that may name `hosts`."""

    created: CreatedKey
    signer: RecordSigner
    hosts: tuple[str, ...]

    @property
    def line(self) -> str:
        return key_file_line(self.created.key_id, self.created.public_key, self.hosts)

    def sign(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]] = ()
    ) -> list[tuple[str, bytes]]:
        """Return the headers of a record with the signature after them."""
        given = list(headers)
        return [*given, self.signer.header(topic, key, value, given)]


def new_key(directory: Path, *hosts: str) -> RelayKey:
    """Create a key pair in a directory."""
    created = create_signing_key(directory)
    return RelayKey(created, RecordSigner(created.path), hosts)


def write_public_keys(path: Path, *keys: RelayKey, more: str = "", unsigned_until: str = "") -> Path:
    """Write a file of public keys at once, as an operator should; `more`: further lines of the table."""
    head = f"unsigned_until = {unsigned_until}\n" if unsigned_until else ""
    new = path.with_suffix(".new")
    new.write_text("\n".join([f"{head}[keys]", *(key.line for key in keys), more]))
    new.replace(path)
    return path
