"""The segment that a process appends to, without a lock.

Several native threads may append at once, and a green thread must never find a lock held, so there is none: one
``write`` to a descriptor opened for appending is atomic. The delicate moment is the change to the next segment, since
the relay unlinks a segment once there is a newer one. Its rules:

- the link to the next segment is set *before* the next one's file exists,
- after each write the writer looks for that link, and where it finds one writes the record again into the newest.

So a record whose writer saw no link lies in a segment that no reader can have taken for finished; one that is written
twice has the same event id twice, which every consumer expects.
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
    """One segment of this process's folder; its file is made at the first write."""

    __slots__ = ("_file", "_folder", "_links", "_synced", "number", "size")

    def __init__(self, folder: str, number: int, *, synced: bool) -> None:
        self._folder = folder
        self._synced = synced
        self._file: Descriptor | None = None
        self._links: list[Segment] = []
        self.number = number
        self.size = 0

    def newest(self) -> Segment:
        """Follow the links to the segment that is written to now."""
        result = self
        while result._links:
            result = result._links[0]
        return result

    def roll(self) -> Segment:
        """Return the next segment, linking it where no other thread has; appending to a list is atomic."""
        self._links.append(Segment(self._folder, self.number + 1, synced=self._synced))
        return self._links[0]

    def write(self, record: bytes) -> bool:
        """Append a record with one system call; False where only a part of it found room. Raises ``OSError``."""
        file = self._file or self._open()
        written = os.write(file.fd, record)
        self.size += written
        return written == len(record)

    def is_sound(self) -> bool:
        """Tell whether the file still is where it was made (or isn't made yet)."""
        return self._file is None or self._file.is_sound()

    def _open(self) -> Descriptor:
        """Give the file its name only when its header is in it; the thread that comes second takes the first's."""
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
