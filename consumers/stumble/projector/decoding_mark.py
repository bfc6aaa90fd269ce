"""Remembers, over the end of the process, which record it was decoding: a record that ends it twice is set aside.

The mark is a small file in the state directory. The kernel keeps what a killed process has written to it, so a mark
costs no system call. Each process of a host locks a file of its own.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING, BinaryIO

from stumble.ingest.errors import CRASH, BadRecordError
from stumble.wire.errors import StumbleError

if TYPE_CHECKING:
    from pathlib import Path

    from stumble.runtime.state_log import StateLog
    from stumble.wire.kafka_record import KafkaRecord

#: Whether a record is being decoded, and which: its partition, offset and Kafka's time.
_CURRENT = struct.Struct("<Bqqq")
#: How often one record ended the process in a row, and which record.
_SUSPECT = struct.Struct("<qqqq")
_SUSPECT_AT = 32
_SIZE = _SUSPECT_AT + _SUSPECT.size
#: Ends of the process after which a record is not decoded again.
_MOST_ENDS = 2
#: Most processes that can have a file in one directory.
_FILES = 64


class ProcessEnded(StumbleError):
    """The process ended each time that it decoded this record."""


class DecodingMark:
    """The mark of one process for one topic. Without a usable directory it remembers nothing, and logs that once."""

    def __init__(self, folder: Path, topic: str, state_log: StateLog) -> None:
        self._map: mmap.mmap | None = None
        self._suspect, self._ends = (-1, -1, -1), 0
        try:
            with _lock_file(folder, topic) as file:
                self._map = mmap.mmap(file.fileno(), _SIZE)  # it duplicates the descriptor, which keeps the lock
        except OSError as error:
            state_log.say(
                "state directory",
                f"The directory {folder} cannot be used ({error.strerror}): a record that ends the projector while it "
                "is decoded will end it again. Set STUMBLE_STATE_DIR to a directory that the projector may write to.",
            )
            return
        if ended_at := self._load():
            partition, offset = ended_at
            state_log.say(
                f"decoding {topic}",
                f"An earlier process ended while it decoded the record at offset {offset} of partition {partition} of "
                f"{topic}.",
            )

    def begin(self, record: KafkaRecord, partition: int, offset: int) -> None:
        """Mark the record that is decoded now. Raises `BadRecordError` if it has ended the process twice."""
        if self._map is None:
            return
        position = (partition, offset, record.timestamp()[1])
        if position == self._suspect and self._ends >= _MOST_ENDS:
            cause = ProcessEnded(f"The projector ended {self._ends} times while it decoded this record.")
            raise BadRecordError(CRASH, cause)
        _CURRENT.pack_into(self._map, 0, 1, *position)

    def end(self) -> None:
        """Remove the mark: the record was decoded or rejected."""
        if self._map is not None:
            self._map[0] = 0

    def _load(self) -> tuple[int, int] | None:
        """Return partition and offset of the record that the last process with this file was decoding at its end."""
        assert self._map is not None
        is_marked, *position = _CURRENT.unpack_from(self._map)
        self._ends, *suspect = _SUSPECT.unpack_from(self._map, _SUSPECT_AT)
        if is_marked:
            self._ends = self._ends + 1 if position == suspect else 1
            suspect = position
            _SUSPECT.pack_into(self._map, _SUSPECT_AT, self._ends, *suspect)
            self._map[0] = 0
        self._suspect = (suspect[0], suspect[1], suspect[2])
        return (suspect[0], suspect[1]) if is_marked else None


def _lock_file(folder: Path, topic: str) -> BinaryIO:
    """Open the first file that no other process has locked; the lock is held until the process ends."""
    for number in range(_FILES):
        file = os.fdopen(os.open(folder / f"decoding-{topic}-{number}", os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        if os.fstat(file.fileno()).st_size < _SIZE:
            os.posix_fallocate(
                file.fileno(), 0, _SIZE
            )  # a write to a hole in a file ends the process if the disk is full
        return file
    raise OSError(0, "other processes have locked all files")
