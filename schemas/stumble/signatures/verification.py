"""Verifies the signatures of records with the public keys in a TOML file.

The file names each key by its id, with the hosts that its owner may name in events and statuses::

    unsigned_until = 2026-12-01T00:00:00Z  # optional: records that Kafka appended earlier need no signature

    [keys]
    3f2a91c0b7d4e865 = { public_key = "…", hosts = ["cmp1"] }
    91aa0c5e2f7b6d18 = { public_key = "…", hosts = ["*"], valid_until = 2027-01-01T00:00:00Z }

Both times are compared with the time at which the broker appended a record. They do not apply to a topic whose writers
set the time of their records (``message.timestamp.type=CreateTime``): a writer could choose any time.
"""

from __future__ import annotations

import base64
import binascii
import logging
import stat
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from stumble.runtime.error_texts import first_mistake
from stumble.signatures.errors import PublicKeysUnusable, SignatureRejected
from stumble.signatures.record_signature import key_id_of, read_signature, signed_bytes
from stumble.wire.headers import Header, relay_of
from stumble.wire.kafka_record import LOG_APPEND_TIME, KafkaRecord, headers_of

LOG = logging.getLogger("stumble.signatures")

ANY_HOST = "*"
_CHECK_FILE_SECONDS = 1.0
_SHOWN_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key, and the hosts that its owner may name."""

    key_id: str
    public_key: Ed25519PublicKey
    hosts: frozenset[str]
    #: Milliseconds since 1970; records that the broker appended later are rejected.
    valid_until_ms: int | None

    def check_host(self, host: str | None) -> None:
        """Raise `SignatureRejected` if the key's owner may not name this host; no host is not a claim about one."""
        if host is not None and host not in self.hosts and ANY_HOST not in self.hosts:
            raise SignatureRejected(
                "foreign_host", f"Key {self.key_id} is not valid for host {host[:_SHOWN_CHARACTERS]!r}."
            )


class PublicKeys(NamedTuple):
    """The content of a file of public keys. Times are milliseconds since 1970."""

    keys: Mapping[str, TrustedKey]
    unsigned_until_ms: int | None

    @property
    def uses_times(self) -> bool:
        """Whether the file has a time, which needs a topic with the broker's times."""
        return self.unsigned_until_ms is not None or any(key.valid_until_ms is not None for key in self.keys.values())


class RecordVerifier:
    """Verifies records; reads the file again when it changes, and keeps the earlier keys while it has a mistake.

    Raises ``PublicKeysUnusable`` if the file cannot be used at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version = _version(path)
        self._keys = load_public_keys(path)
        self._check_at = time.monotonic() + _CHECK_FILE_SECONDS

    def verify(self, record: KafkaRecord) -> TrustedKey | None:
        """Return the key that signed a record, None for one that needs no signature. Raises `SignatureRejected`.

        The caller must pass the host that the record names to the key's `check_host`.
        """
        if time.monotonic() >= self._check_at:
            self._read_again()
        keys, unsigned_until_ms = self._keys
        headers, signature = _signature_of(record)
        kind, time_ms = record.timestamp()
        if signature is None:
            if unsigned_until_ms is not None and kind == LOG_APPEND_TIME and time_ms < unsigned_until_ms:
                return None
            raise SignatureRejected(
                "unsigned",
                "The record has no signature: set STUMBLE_KAFKA__SIGNING_KEY_FILE for the relay of its host.",
                is_final=unsigned_until_ms is not None and kind == LOG_APPEND_TIME,
            )
        key_id, signature_bytes = signature
        key = keys.get(key_id)
        if key is None:
            raise SignatureRejected(
                "unknown_key",
                f"The record is signed with key {key_id[:_SHOWN_CHARACTERS]!r}, which {self._path} lacks.",
            )
        if key.valid_until_ms is not None and (kind != LOG_APPEND_TIME or time_ms >= key.valid_until_ms):
            raise SignatureRejected("expired_key", _expired(key_id, kind), is_final=kind == LOG_APPEND_TIME)
        try:
            key.public_key.verify(
                signature_bytes, signed_bytes(record.topic() or "", record.key(), record.value(), headers)
            )
        except InvalidSignature:
            raise SignatureRejected(
                "invalid",
                f"The signature of key {key_id} does not fit the record: it was changed, or copied.",
                is_final=True,
            ) from None
        key.check_host(relay_of(headers))
        return key

    def _read_again(self) -> None:
        self._check_at = time.monotonic() + _CHECK_FILE_SECONDS
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._keys = load_public_keys(self._path)
        except PublicKeysUnusable as error:
            LOG.warning("%s The earlier keys stay in use.", error)
        else:
            LOG.info("%s was read again: %d public keys.", self._path, len(self._keys.keys))


def _expired(key_id: str, kind: int) -> str:
    if kind != LOG_APPEND_TIME:
        return f"Key {key_id} has a valid_until, which needs message.timestamp.type=LogAppendTime on the topic."
    return f"Key {key_id} was no longer valid when Kafka appended the record."


def _signature_of(record: KafkaRecord) -> tuple[list[Header], tuple[str, bytes] | None]:
    headers = headers_of(record)
    if headers is None:
        raise SignatureRejected("damaged", "The name of a header is not UTF-8.", is_final=True)
    try:
        return headers, read_signature(headers)
    except ValueError as error:
        text = f"The header with the signature cannot be read: {error}."
        raise SignatureRejected("damaged", text, is_final=True) from None


def load_public_keys(path: Path) -> PublicKeys:
    """Read a file of public keys. Raises ``PublicKeysUnusable``."""
    try:
        if path.stat().st_mode & stat.S_IWOTH:
            raise PublicKeysUnusable(f"Every user may change the public keys in {path}: chmod o-w {path}.")
        content = _KeyFile.model_validate(tomllib.loads(path.read_text("utf-8")))
        keys = {key_id: _trusted_key(key_id, entry) for key_id, entry in content.keys.items()}
    except OSError as error:
        raise PublicKeysUnusable(f"The public keys in {path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        field, reason = first_mistake(error, _KeyFile.model_fields)
        raise PublicKeysUnusable(f"The public keys in {path} have a mistake in {field}: {reason}.") from None
    except ValueError as error:  # not TOML, not UTF-8, or not a key
        raise PublicKeysUnusable(f"The public keys in {path} have a mistake: {error}.") from None
    return PublicKeys(keys, _milliseconds(content.unsigned_until))


def key_file_line(key_id: str, public_key: str, hosts: Iterable[str]) -> str:
    """Return the line of a file of public keys, for its table ``[keys]``; ``public_key`` is in Base64."""
    names = ", ".join(f'"{host}"' for host in hosts)
    return f'{key_id} = {{ public_key = "{public_key}", hosts = [{names}] }}'


class _KeyEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    public_key: str
    hosts: list[str] = Field(min_length=1)
    valid_until: AwareDatetime | None = None


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    unsigned_until: AwareDatetime | None = None
    keys: dict[str, _KeyEntry]


def _trusted_key(key_id: str, entry: _KeyEntry) -> TrustedKey:
    try:
        raw = base64.b64decode(entry.public_key, validate=True)
        public_key = Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError):
        raise ValueError(f"the public key of {key_id} is not an Ed25519 key in Base64") from None
    if key_id != key_id_of(raw):
        raise ValueError(f"the id of the public key of {key_id} is {key_id_of(raw)}, so one of both is wrong")
    return TrustedKey(key_id, public_key, frozenset(entry.hosts), _milliseconds(entry.valid_until))


def _milliseconds(at: AwareDatetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def _version(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with the content of a file; None while it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
