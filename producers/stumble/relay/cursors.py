"""The relay's cursor in each folder: a file with two slots, which are written alternately.

A slot is overwritten in place, which also works on a full disk, where the relay has to free space. The checksum shows
a slot that a crash left incomplete; then the other slot counts, which is older by a second.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from zlib import crc32

#: Name of the file in the relay's folder.
CURSORS = "cursors"
_SLOT = 128 << 10
_HEADER = struct.Struct("<8sQII")  # magic, sequence, length, CRC-32 of the text
_MAGIC = b"STBLCUR1"


@dataclass(slots=True)
class Progress:
    """Progress of one folder. That of a removed folder is stored for 24 hours."""

    segment: int = 0
    offset: int = 0
    sent: int = 0
    rejected: int = 0
    quarantined: int = 0
    torn: int = 0
    gone_at: float = 0.0
    """When the folder was removed, Unix seconds; 0 while it exists."""
    host: str = ""
    """Host name in the producer's ``about.json``."""

    @property
    def done(self) -> int:
        """Events that need no delivery any more: sent, rejected or in quarantine."""
        return self.sent + self.rejected + self.quarantined


#: Returns the values of a `Progress` in the order of its fields: five times as fast for a save as `dataclasses.asdict`.
_values = attrgetter(*(field.name for field in fields(Progress)))


class CursorFile:
    """The relay's cursors on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sequence = 0
        self._slot = _SLOT
        self._fd = -1

    def load(self) -> dict[str, Progress]:
        """Return the newest complete slot; without one empty: all events are then sent again, which is harmless."""
        slot, self._sequence, rows = _newest(self._path)
        self._open(slot)
        return rows

    def save(self, rows: Mapping[str, Progress]) -> None:
        """Write all cursors and sync them to disk. Raises ``OSError``."""
        text = json.dumps({key: _values(row) for key, row in rows.items()}, separators=(",", ":")).encode()
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
        if missing > 0:  # allocate the blocks now, so that a save needs no free space
            with suppress(OSError):  # on a full disk the first save may fail; it is retried
                os.posix_fallocate(self._fd, 2 * slot - missing, missing)

    def _grow(self, size: int) -> None:
        """Replace the file by a larger one; until the rename, the old file counts."""
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
    """Return a relay's cursors without changing the file."""
    return _newest(path)[2]


def _newest(path: Path) -> tuple[int, int, dict[str, Progress]]:
    """Return the slot size, and sequence and rows of the newest complete slot."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    slot = max(_SLOT, len(data) // 2)
    result = [parsed for at in (0, slot) if (parsed := _parse(data[at : at + slot]))]
    sequence, rows = max(result, key=lambda item: item[0], default=(0, {}))
    return slot, sequence, rows


def _checksum(text: bytes, sequence: int) -> int:
    """Return a slot's checksum, which includes the sequence: a new sequence with an old text is incomplete."""
    return crc32(text, sequence & 0xFFFFFFFF)


def _parse(data: bytes) -> tuple[int, dict[str, Progress]] | None:
    if len(data) < _HEADER.size:
        return None
    magic, sequence, size, crc = _HEADER.unpack_from(data)
    text = data[_HEADER.size : _HEADER.size + size]
    # An empty text has checksum 0, like a header that was only partly written, so it does not count.
    if magic != _MAGIC or not size or len(text) != size or _checksum(text, sequence) != crc:
        return None
    known = len(fields(Progress))
    return sequence, {key: Progress(*row[:known]) for key, row in json.loads(text).items()}
