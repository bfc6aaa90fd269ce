"""Reads the records of one folder from a cursor on, even if bytes are damaged.

An offset without a valid record has one of three causes. If a valid record follows, it is a part of a record for which
the writer had no space, or damage. If none follows and the segment can still grow, a record is being written: wait.
If none follows and the segment is final, it is a torn tail, or damage at the end. Torn parts were never accepted and
are cut; damage is returned to the caller, which stores and counts it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from stumble.outbox.access import FolderFiles
from stumble.outbox.folders import segment_name, segment_numbers
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
    """A newer release wrote the segment, in a format that this release cannot read."""


class OutboxCursor(NamedTuple):
    """A position in a folder: segment number and byte offset in it. Offset 0 is the start, before the header."""

    segment: int = 0
    offset: int = 0


class Damage(NamedTuple):
    """Bytes that contain no valid record."""

    segment: int
    offset: int
    data: bytes


class RecordChunk(NamedTuple):
    """Result of one read, from one segment."""

    start: OutboxCursor
    end: OutboxCursor
    records: list[OutboxRecord]
    damages: list[Damage]
    torn: int
    """Bytes of torn parts that were cut."""


class OutboxReader:
    """Reads one folder, given as its files or its path.

    Folder and current segment stay open until ``close``, so a read without new bytes costs one system call.
    """

    def __init__(self, folder: FolderFiles | str | Path) -> None:
        self._files = folder if isinstance(folder, FolderFiles) else FolderFiles(folder)
        self._number = -1
        self._fd = -1
        self._no_record_in = (-1, -1)

    def read(self, cursor: OutboxCursor, *, live: bool, max_bytes: int = READ_BYTES) -> RecordChunk:
        """Return about ``max_bytes`` of records after ``cursor``; ``end == start`` if there is nothing yet.

        ``live``: whether a process may still write to the folder; determine it *before* reading.
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
        # The segment is final now, but was not yet at the first read: read what was written in between.
        chunk = self._read(cursor, max_bytes, final=True)
        if chunk.end == cursor and following is not None:
            return self._moved(cursor, OutboxCursor(following, 0))
        return chunk

    def has_more(self, cursor: OutboxCursor) -> bool:
        """Return whether the cursor's segment has bytes that were not read yet; costs one system call."""
        if cursor.segment != self._number:
            return True
        size = os.fstat(self._fd).st_size
        return size > cursor.offset and self._no_record_in != (max(cursor.offset, _HEADER), size)

    def close(self) -> None:
        """Close the segment and the folder; the next read opens them again."""
        self._close_segment()
        self._files.close()

    def _close_segment(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = self._number = -1
        self._no_record_in = (-1, -1)

    def backlog_bytes(self, cursor: OutboxCursor) -> int:
        """Return the number of bytes after ``cursor``."""
        total = 0
        for number in segment_numbers(self._files):
            if number >= cursor.segment and (status := self._files.status(segment_name(number))):
                done = max(cursor.offset, _HEADER) if number == cursor.segment else _HEADER
                total += max(status.st_size - done, 0)
        return total

    def _moved(self, start: OutboxCursor, end: OutboxCursor) -> RecordChunk:
        return RecordChunk(start, end, [], [], 0)

    def _following(self, number: int) -> int | None:
        if self._files.status(segment_name(number + 1)):  # the usual case; avoids a directory listing
            return number + 1
        return next((other for other in segment_numbers(self._files) if other > number), None)

    def _open(self, number: int) -> bool:
        self._close_segment()
        try:
            self._fd = self._files.open(segment_name(number))
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
        # No valid record within max_bytes: read the rest before deciding that it is torn or damaged.
        size = os.fstat(self._fd).st_size
        if not final and self._no_record_in == (offset, size):
            return self._moved(cursor, cursor)
        data = os.pread(self._fd, min(max(size - offset, 0), 2 * MAX_PAYLOAD), offset)
        chunk = self._parse(cursor, offset, data, whole=True)
        if chunk.end.offset > offset:
            return chunk
        self._no_record_in = (offset, size)
        return self._tail(cursor, offset, data) if final else self._moved(cursor, cursor)

    def _parse(self, start: OutboxCursor, offset: int, data: bytes, *, whole: bool) -> RecordChunk:
        """Parse the records in ``data``; invalid bytes count only if a record follows.

        ``whole``: whether ``data`` reaches the end of the segment; else its last record may be incomplete, not invalid.
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
            if record_at(data, position, offset) is None:  # too many invalid marks: the next read continues here
                break
        return RecordChunk(start, OutboxCursor(start.segment, offset + position), records, damages, torn)

    def _tail(self, start: OutboxCursor, offset: int, data: bytes) -> RecordChunk:
        """Classify the remaining bytes at the end of a final segment as torn or damaged."""
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
