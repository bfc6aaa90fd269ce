"""The segment that a process appends to, without a lock.

Several native threads may append at the same time, and a green thread must never wait for a lock, so there is none: one
``write`` to a descriptor opened for appending is atomic. The critical step is the change to the next segment, since the
relay unlinks a segment once a newer one exists. The rules:

- the link to the next segment is set *before* the next segment's file exists,
- after each write the writer checks that link; if it is set, it writes the record again to the newest segment.

So if a writer saw no link, its record is in a segment that no reader can have considered final; a record that is
written twice has the same event id twice, which every consumer expects.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from stumble.outbox.folders import segment_path, sync_directory
from stumble.outbox.lock import Descriptor, create_file
from stumble.outbox.record import segment_header

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class Segment:
    """One segment of this process's folder; the first write creates its file."""

    __slots__ = ("_file", "_folder", "_links", "_synced", "number", "size")

    def __init__(self, folder: str, number: int, *, synced: bool) -> None:
        self._folder = folder
        self._synced = synced
        self._file: Descriptor | None = None
        self._links: list[Segment] = []
        self.number = number
        self.size = 0

    def newest(self) -> Segment:
        """Return the newest segment, by following the links."""
        result = self
        while result._links:
            result = result._links[0]
        return result

    def roll(self) -> Segment:
        """Return the next segment; link it unless another thread has done so (appending to a list is atomic)."""
        self._links.append(Segment(self._folder, self.number + 1, synced=self._synced))
        return self._links[0]

    def write(self, record: bytes) -> bool:
        """Append a record with one system call; return False if only a part was written. Raises ``OSError``."""
        file = self._file or self._open()
        written = os.write(file.fd, record)
        self.size += written
        return written == len(record)

    def is_sound(self) -> bool:
        """Return whether the file still exists under its name, or was not created yet."""
        return self._file is None or self._file.is_sound()

    def _open(self) -> Descriptor:
        """Name the file only after its header is written; if another thread was faster, open that thread's file."""
        path = segment_path(self._folder, self.number)
        temporary = f"{self._folder}/.segment-{os.urandom(4).hex()}"
        flags = _APPEND | (os.O_DSYNC if self._synced else 0)
        try:
            file = Descriptor(create_file(temporary, flags))
            header = segment_header()
            if os.write(file.fd, header) != len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            try:
                os.link(temporary, path)
                if self._synced:
                    sync_directory(self._folder)
            except FileExistsError:
                file = Descriptor(os.open(path, flags))
        finally:
            with suppress(OSError):
                os.unlink(temporary)
        self._file = file
        return file
