"""Fingerprints: which failures are one problem.

A fingerprint is ``v1:`` and a hash of action, exception class and the message without its varying parts.
A fact stores only the hash of the message, so that action and class can be corrected later.
"""

from __future__ import annotations

import re
from hashlib import blake2b

#: Nova cuts the texts of faults and action events to 255 characters: only what every signal holds may count.
_MESSAGE_CHARACTERS = 200

_VARYING = re.compile(
    r"""
    req-[0-9a-f-]{8,}                                                     # request id
    | \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b    # uuid
    | \b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b                                  # MAC address
    | (?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:])             # IPv6 address
    | \b\d{1,3}(?:\.\d{1,3}){3}(?::\d+|/\d+)?                             # IPv4 address with port or prefix
    | (?<![\w/])/[\w.@+-]+(?:/[\w.@+-]+)*/?                               # path
    | \b0x[0-9a-f]+\b | \b[0-9a-f]{32}\b                                  # address, project or volume id
    | \d+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SPACE = re.compile(r"\s+")


def normalise_message(message: str) -> str:
    """Return a message with uuids, addresses, ports, paths, request ids and numbers replaced by ``*``."""
    return _SPACE.sub(" ", _VARYING.sub("*", message[: _MESSAGE_CHARACTERS * 2])).strip()[:_MESSAGE_CHARACTERS]


def message_hash(message: str | None) -> str | None:
    """Return 16 hexadecimal digits for the normalised message, None without one."""
    if not message:
        return None
    return blake2b(normalise_message(message).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def fingerprint_of(action: str | None, exception: str, hashed_message: str | None) -> str:
    """Return the problem that a failure of this action, class and hashed message belongs to."""
    text = "\x1f".join((action or "", exception, hashed_message or ""))
    return "v1:" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
