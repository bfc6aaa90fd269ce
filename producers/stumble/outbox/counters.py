"""What a process says of itself beside its events: ``about.json`` once, ``counters`` in place.

The counters lie in one block that is overwritten, so they can be kept while the disk is full, and that is just when
something is refused. A mapped file would do without a system call, and kill the service the day somebody truncates it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from stumble.outbox.folders import ABOUT, COUNTERS
from stumble.outbox.lock import Descriptor, create_file

_BLOCK = 256
_ABOUT_LIMIT = 256 << 10


@dataclass(slots=True)
class Totals:
    """What became of the events of one process since it wrote the first one."""

    accepted: int = 0
    refused: int = 0
    refused_failures: int = 0
    invalid: int = 0
    """Events that could not be encoded."""

    def line(self) -> bytes:
        """Return the totals as one line with its checksum, padded to a block."""
        text = f"{self.accepted} {self.refused} {self.refused_failures} {self.invalid}".encode()
        return (b"%08x %s" % (crc32(text), text)).ljust(_BLOCK - 1) + b"\n"


def create_counters(folder: str) -> Descriptor:
    """Create the counters of a new folder. Raises ``OSError``."""
    descriptor = Descriptor(create_file(f"{folder}/{COUNTERS}", os.O_RDWR))
    os.pwrite(descriptor.fd, Totals().line(), 0)
    return descriptor


def save(descriptor: Descriptor, totals: Totals) -> None:
    """Write the totals over the old ones; a failure to do so hurts nothing but them."""
    with suppress(OSError):
        os.pwrite(descriptor.fd, totals.line(), 0)


def read_totals(folder: str) -> Totals | None:
    """Return a folder's totals, or None where there are none or they are being written just now."""
    data = _read(f"{folder}/{COUNTERS}", _BLOCK)
    checksum, _, text = data.strip().partition(b" ")
    try:
        if int(checksum, 16) != crc32(text):
            return None
        accepted, refused, refused_failures, invalid = (int(part) for part in text.split()[:4])
    except ValueError:
        return None
    return Totals(accepted, refused, refused_failures, invalid)


def write_about(folder: str, about: dict[str, Any]) -> None:
    """Write who writes here, whole or not at all. Raises ``OSError``."""
    temporary = f"{folder}/.{ABOUT}-{os.urandom(4).hex()}"
    write_text(temporary, json.dumps(about, default=str))
    os.replace(temporary, f"{folder}/{ABOUT}")


def write_text(path: str, text: str) -> None:
    """Write a new small file. Raises ``OSError``."""
    fd = create_file(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode("utf-8", "replace"))
    finally:
        os.close(fd)


def read_about(folder: str) -> dict[str, Any]:
    """Return who writes here; empty where that can't be read."""
    try:
        result = json.loads(_read(f"{folder}/{ABOUT}", _ABOUT_LIMIT) or b"{}")
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}


def _read(path: str, limit: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(fd, limit)
    except OSError:
        return b""
    finally:
        os.close(fd)
