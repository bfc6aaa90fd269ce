"""The header with a record's signature, and the bytes that are signed.

The header's value is the id of the key, a colon, and the Ed25519 signature (RFC 8032) in Base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable

from stumble.wire.headers import Header, last_header

SIGNATURE = "stumble_signature"
#: Headers that consumers act upon: those of stumble by prefix, and the id of the event.
_SIGNED_PREFIX = "stumble_"
_SIGNED_NAMES = frozenset({"ce_id"})
#: Signatures for another purpose or of another layout have another first part.
_PURPOSE = b"stumble record 1"
_ABSENT = 0xFFFFFFFF
_KEY_ID_CHARACTERS = 16
SIGNATURE_BYTES = 64


def signed_bytes(topic: str, key: bytes | None, value: bytes | None, headers: Iterable[Header]) -> bytes:
    """Return the bytes to sign: topic, key, value, and the headers that consumers act upon, in their order.

    Each part has its length before it, and an absent part a length of its own, so that two different records never have
    the same bytes. Other headers, such as the trace context, may be changed on the way.
    """
    parts = [_PURPOSE, topic.encode(), key, value]
    for name, content in headers:
        if (name.startswith(_SIGNED_PREFIX) and name != SIGNATURE) or name in _SIGNED_NAMES:
            parts += (name.encode("utf-8", "surrogateescape"), content)
    return b"".join([length + part for length, part in map(_with_length, parts)])


def _with_length(part: bytes | None) -> tuple[bytes, bytes]:
    return struct.pack(">I", _ABSENT if part is None else len(part)), part or b""


def key_id_of(public_key: bytes) -> str:
    """Return the id of a raw public key: the first 64 bits of its SHA-256, in hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()[:_KEY_ID_CHARACTERS]


def signature_header(key_id: str, signature: bytes) -> tuple[str, bytes]:
    """Return the header of a signature."""
    return SIGNATURE, key_id.encode() + b":" + base64.b64encode(signature)


def is_signed(headers: Iterable[Header] | None) -> bool:
    """Return whether a record has the header of a signature, valid or not."""
    return last_header(headers, SIGNATURE) is not None


def read_signature(headers: Iterable[Header]) -> tuple[str, bytes] | None:
    """Return key id and signature of a record, or None without such a header. Raises ``ValueError`` if it is damaged.

    Where the header is repeated, the last one counts.
    """
    value = last_header(headers, SIGNATURE)
    if value is None:
        return None
    key_id, colon, encoded = value.partition(b":")
    try:
        signature = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if not colon or len(signature) != SIGNATURE_BYTES:
        raise ValueError("it is not a key id, a colon and 64 bytes in Base64")
    return key_id.decode("ascii"), signature
