"""The reading side: records of one folder from a cursor on, whatever happened to the bytes.

A place where no sound record starts is one of three things. Where a sound record follows, it is a piece of a record
that its writer had no room for, or damage. Where none follows and the segment can still grow, it is a record in the
making: wait. Where none follows and the segment is final, it is a torn tail, or damage at the end. Torn pieces were
never accepted and are cut without ado; damage is handed out so that it can be kept and counted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stumble.outbox.folders import segment_path, segments
from stumble.outbox.record import (
    FORMAT_VERSION,
    MAGIC,
    MAX_PAYLOAD,
    SEGMENT_HEADER,
    OutboxRecord,
    declared_end,
    next_record,
    record_at,
)
from stumble.wire.errors import StumbleError

READ_BYTES = 256 << 10
_HEADER = SEGMENT_HEADER.size


class NewerFormat(StumbleError):
    """The segment was written by a release that this one can't read."""


class OutboxCursor(NamedTuple):
    """A place in a folder: number of a segment and offset in it. Offset 0 is a segment's very start."""

    segment: int = 0
    offset: int = 0


class Damage(NamedTuple):
    """Bytes that hold no sound record."""

    segment: int
    offset: int
    data: bytes


class RecordChunk(NamedTuple):
    """What was read in one go: all of it from one segment."""

    start: OutboxCursor
    end: OutboxCursor
    records: list[OutboxRecord]
    damages: list[Damage]
    torn: int
    """Bytes of torn pieces that were cut."""


class OutboxReader:
    """Reads one folder. Keeps the current segment open, so a read costs one system call where nothing is new."""

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._number = -1
        self._fd = -1
        self._fruitless = (-1, -1)

    def read(self, cursor: OutboxCursor, *, live: bool, max_bytes: int = READ_BYTES) -> RecordChunk:
        """Return what lies behind ``cursor``, about ``max_bytes`` of it; ``end == start`` where nothing is there yet.

        ``live``: whether a process may still be writing to the folder; ask *before* reading.
        Raises ``NewerFormat`` and ``OSError``.
        """
        number = cursor.segment
        if number != self._number and not self._open(number):
            following = self._following(number)
            return self._moved(cursor, cursor if following is None else OutboxCursor(following, 0))
        chunk = self._read(cursor, max_bytes, final=False)
        if chunk.end != cursor:
            return chunk
        following = self._following(number)
        if following is None and live:
            return chunk
        # The segment is final now, and was not yet when it was read: what was written between counts.
        chunk = self._read(cursor, max_bytes, final=True)
        if chunk.end == cursor and following is not None:
            return self._moved(cursor, OutboxCursor(following, 0))
        return chunk

    def has_more(self, cursor: OutboxCursor) -> bool:
        """Tell, at the price of one system call, whether the cursor's segment holds bytes that were not looked at."""
        if cursor.segment != self._number:
            return True
        size = os.fstat(self._fd).st_size
        return size > cursor.offset and self._fruitless != (max(cursor.offset, _HEADER), size)

    def close(self) -> None:
        """Close the segment."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = self._number = -1
        self._fruitless = (-1, -1)

    def backlog_bytes(self, cursor: OutboxCursor) -> int:
        """Return how many bytes lie behind ``cursor``."""
        total = 0
        for number in segments(self.path):
            if number >= cursor.segment:
                with suppress(FileNotFoundError):
                    size = os.stat(segment_path(self.path, number)).st_size
                    done = max(cursor.offset, _HEADER) if number == cursor.segment else _HEADER
                    total += max(size - done, 0)
        return total

    def _moved(self, start: OutboxCursor, end: OutboxCursor) -> RecordChunk:
        return RecordChunk(start, end, [], [], 0)

    def _following(self, number: int) -> int | None:
        if os.path.exists(segment_path(self.path, number + 1)):  # the usual case, and cheap
            return number + 1
        return next((other for other in segments(self.path) if other > number), None)

    def _open(self, number: int) -> bool:
        self.close()
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._fd = os.open(segment_path(self.path, number), flags)
        except FileNotFoundError:
            return False
        self._number = number
        return True

    def _read(self, cursor: OutboxCursor, max_bytes: int, *, final: bool) -> RecordChunk:
        offset = cursor.offset
        data = os.pread(self._fd, max_bytes, offset)
        length = len(data)
        if not data:
            return self._moved(cursor, cursor)
        if offset == 0:
            _check_format(data)
            skipped = _HEADER if data[: len(MAGIC)] == MAGIC and len(data) >= _HEADER else 0
            data, offset = data[skipped:], skipped
        chunk = self._parse(cursor, offset, data, whole=length < max_bytes)
        if chunk.end.offset > offset:
            return chunk
        # Nothing sound within max_bytes: look at all that is there before calling it torn or damaged.
        size = os.fstat(self._fd).st_size
        if not final and self._fruitless == (offset, size):
            return self._moved(cursor, cursor)
        data = os.pread(self._fd, min(max(size - offset, 0), 2 * MAX_PAYLOAD), offset)
        chunk = self._parse(cursor, offset, data, whole=True)
        if chunk.end.offset > offset:
            return chunk
        self._fruitless = (offset, size)
        return self._tail(cursor, offset, data) if final else self._moved(cursor, cursor)

    def _parse(self, start: OutboxCursor, offset: int, data: bytes, *, whole: bool) -> RecordChunk:
        """Take as many records out of ``data`` as it holds; bad places count only where a record follows.

        ``whole``: whether ``data`` goes to the end of the segment; else a record that it cuts is no bad place.
        """
        records: list[OutboxRecord] = []
        damages: list[Damage] = []
        torn = position = 0
        while position < len(data):
            record = record_at(data, position, offset)
            if record is not None:
                records.append(record)
                position += record.size
                continue
            claimed = declared_end(data, position)
            if claimed is not None and claimed > len(data) and not whole:
                break
            following = next_record(data, position)
            if following < 0:
                break
            if claimed is not None and claimed > following:
                torn += following - position
            else:
                damages.append(Damage(start.segment, offset + position, data[position:following]))
            position = following
        return RecordChunk(start, OutboxCursor(start.segment, offset + position), records, damages, torn)

    def _tail(self, start: OutboxCursor, offset: int, data: bytes) -> RecordChunk:
        """Judge what is left at the end of a final segment."""
        end = OutboxCursor(start.segment, offset + len(data))
        claimed = declared_end(data, 0)
        if not data.strip(b"\0") or (claimed is not None and claimed > len(data)):
            return RecordChunk(start, end, [], [], len(data))
        return RecordChunk(start, end, [], [Damage(start.segment, offset, data)], 0)


def _check_format(data: bytes) -> None:
    if len(data) >= _HEADER and data[: len(MAGIC)] == MAGIC:
        _, version, _, _ = SEGMENT_HEADER.unpack_from(data)
        if version > FORMAT_VERSION:
            raise NewerFormat(
                f"A segment has format {version}, this release reads up to {FORMAT_VERSION}: upgrade the relay."
            )
