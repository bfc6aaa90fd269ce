"""Files with a process's description of itself (``about.json``) and its counts of events (``counters``).

The counters are one block that is overwritten in place, so they can be saved while the disk is full, which is when
events are refused. A mapped file would need no system call, but truncating it would kill the service (SIGBUS).
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from zlib import crc32

from stumble.outbox.access import FolderFiles
from stumble.outbox.folders import ABOUT, COUNTERS
from stumble.outbox.lock import Descriptor, create_file

_BLOCK = 256
_ABOUT_LIMIT = 16 << 10
#: The fields of `about.json` that readers use; the relay keeps them in memory for each folder.
_ABOUT_FIELDS = {
    *("format", "service", "durability", "host", "cell", "region", "cloud", "version", "tap"),
    *("pid", "started_at", "starting", "ready_at"),
}
_MOST_LABELS = 64
_MOST_EVENTS = 1 << 48


@dataclass(slots=True)
class Totals:
    """Counts of the events of one process, from its first event on."""

    accepted: int = 0
    refused: int = 0
    refused_failures: int = 0
    invalid: int = 0
    """Events that could not be encoded."""

    def line(self) -> bytes:
        """Return the totals as one line with a checksum, padded to a block."""
        text = f"{self.accepted} {self.refused} {self.refused_failures} {self.invalid}".encode()
        return (b"%08x %s" % (crc32(text), text)).ljust(_BLOCK - 1) + b"\n"


def create_counters(folder: str) -> Descriptor:
    """Create the counters file of a new folder. Raises ``OSError``."""
    descriptor = Descriptor(create_file(f"{folder}/{COUNTERS}", os.O_RDWR))
    os.pwrite(descriptor.fd, Totals().line(), 0)
    return descriptor


def save_totals(descriptor: Descriptor, totals: Totals) -> None:
    """Overwrite the saved totals; ignores an ``OSError``, which affects only the totals."""
    with suppress(OSError):
        os.pwrite(descriptor.fd, totals.line(), 0)


def read_totals(folder: str | FolderFiles) -> Totals | None:
    """Return a folder's totals, or None if they are missing, just being written, or more than a process can count."""
    data = _read(folder, COUNTERS, _BLOCK)
    checksum, _, text = data.strip().partition(b" ")
    try:
        if int(checksum, 16) != crc32(text):
            return None
        numbers = [int(part) for part in text.split()[:4]]
        return Totals(*numbers) if len(numbers) == 4 and all(0 <= one <= _MOST_EVENTS for one in numbers) else None
    except ValueError:
        return None


def write_about(folder: str, about: dict[str, Any]) -> None:
    """Write ``about.json`` atomically. Raises ``OSError``."""
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


def read_about(folder: str | FolderFiles) -> dict[str, Any]:
    """Return the known fields of ``about.json`` and up to 64 labels; empty if it cannot be read or has over 16 KiB.

    Values are texts, numbers, booleans or None, those of ``labels`` too.
    """
    try:
        result = json.loads(_read(folder, ABOUT, _ABOUT_LIMIT) or b"{}")
    except (ValueError, RecursionError):  # the second: thousands of brackets
        return {}
    if not isinstance(result, dict):
        return {}
    about = {name: value for name, value in result.items() if name in _ABOUT_FIELDS and _is_plain(value)}
    labels = result.get("labels")
    if isinstance(labels, dict):
        plain = ((name, value) for name, value in labels.items() if _is_plain(value))
        about["labels"] = dict(islice(plain, _MOST_LABELS))
    return about


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _read(folder: str | FolderFiles, name: str, limit: int) -> bytes:
    if isinstance(folder, FolderFiles):
        return folder.read(name, limit)
    with FolderFiles(folder) as files:
        return files.read(name, limit)
