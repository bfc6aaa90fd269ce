"""How far each folder was delivered: a file of two slots that are written in turn.

A slot is overwritten in place, which works on a disk that is full, and the relay is what makes room there. A slot
that a crash tore is known by its checksum, and the other one, older by a second, counts.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from zlib import crc32

_SLOT = 128 << 10
_HEADER = struct.Struct("<8sQII")  # magic, sequence, length, CRC-32 of the text
_MAGIC = b"STBLCUR1"


@dataclass(slots=True)
class Progress:
    """What the relay knows of one folder. A folder that is gone is remembered for a while."""

    segment: int = 0
    offset: int = 0
    sent: int = 0
    rejected: int = 0
    quarantined: int = 0
    torn: int = 0
    gone_at: float = 0.0
    """Unix seconds; 0 while the folder is there."""
    host: str = ""
    """What the folder's producer calls its host."""


class CursorFile:
    """The relay's cursors on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sequence = 0
        self._slot = _SLOT
        self._fd = -1

    def load(self) -> dict[str, Progress]:
        """Return the newest whole slot; empty where there is none: then everything is sent anew, which harms nobody."""
        slot, self._sequence, rows = _newest(self._path)
        self._open(slot)
        return rows

    def save(self, rows: Mapping[str, Progress]) -> None:
        """Write all cursors and wait until the disk has them. Raises ``OSError``."""
        text = json.dumps({key: [*asdict(row).values()] for key, row in rows.items()}, separators=(",", ":")).encode()
        if _HEADER.size + len(text) > self._slot:
            self._grow(2 * (_HEADER.size + len(text)))
        header = _HEADER.pack(_MAGIC, self._sequence + 1, len(text), _checksum(text, self._sequence + 1))
        os.pwrite(self._fd, header + text, (self._sequence + 1) % 2 * self._slot)
        os.fdatasync(self._fd)
        self._sequence += 1

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, slot: int) -> None:
        self.close()
        self._slot = slot
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        missing = 2 * slot - os.fstat(self._fd).st_size
        if missing > 0:  # blocks of our own, so that a save never has to find any
            with suppress(OSError):  # a full disk: the first save may fail, and is tried again
                os.posix_fallocate(self._fd, 2 * slot - missing, missing)

    def _grow(self, size: int) -> None:
        """Lay a larger file beside this one; until it has its name, this one counts."""
        larger = self._path.with_suffix(".new")
        larger.unlink(missing_ok=True)
        old, self._path = self._path, larger
        try:
            self._open(size)
            os.fsync(self._fd)
            larger.replace(old)
        finally:
            self._path = old


def read_cursors(path: Path) -> dict[str, Progress]:
    """Return a relay's cursors without touching the file."""
    return _newest(path)[2]


def _newest(path: Path) -> tuple[int, int, dict[str, Progress]]:
    """Return the size of a slot, and sequence and rows of the newest that is whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    slot = max(_SLOT, len(data) // 2)
    result = [parsed for at in (0, slot) if (parsed := _parse(data[at : at + slot]))]
    sequence, rows = max(result, key=lambda item: item[0], default=(0, {}))
    return slot, sequence, rows


def _checksum(text: bytes, sequence: int) -> int:
    """Return a slot's checksum, over its number too: a new number over an old text is torn."""
    return crc32(text, sequence & 0xFFFFFFFF)


def _parse(data: bytes) -> tuple[int, dict[str, Progress]] | None:
    if len(data) < _HEADER.size:
        return None
    magic, sequence, size, crc = _HEADER.unpack_from(data)
    text = data[_HEADER.size : _HEADER.size + size]
    # An empty text has the checksum 0, as a header that tore early has: it is no slot.
    if magic != _MAGIC or not size or len(text) != size or _checksum(text, sequence) != crc:
        return None
    known = len(fields(Progress))
    return sequence, {key: Progress(*row[:known]) for key, row in json.loads(text).items()}
