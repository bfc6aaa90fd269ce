"""Opens the files of a process folder for a reader that does not trust everybody who may write there.

Everything is opened relative to a directory's descriptor, and no link is followed: a folder or file that is replaced by
a link while the reader works is not opened. A folder must belong to its user, a file to the owner of its folder, and
neither may be writable for all users. A file must be a regular file: opening a FIFO could wait for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from stumble.outbox.lock import is_locked, is_own

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
#: A writer's folder has a handful of files more than segments, and a segment has at least 256 KiB.
MOST_FILES = 20_000


class UnsafeEntry(OSError):
    """A reader refuses a directory or file: wrong owner, writable for all users, special, or too many files."""

    def __init__(self, text: str, name: str | None = None) -> None:
        super().__init__(errno.EPERM, text, name)

    def __str__(self) -> str:
        """Return the text and the name, without the number of the error."""
        return f"{self.strerror} ({self.filename})" if self.filename else str(self.strerror)


def open_directory(path: str, uid: int | None = None, *, dir_fd: int | None = None) -> int:
    """Open a directory that is not a link; ``uid``: who must own it. Raises ``OSError``, also ``UnsafeEntry``."""
    return _checked(os.open(path, _DIRECTORY, dir_fd=dir_fd), path, uid)


def names_in(directory: int) -> list[str]:
    """Return the names in an open directory. Raises ``UnsafeEntry`` if they are too many."""
    result = []
    with os.scandir(directory) as entries:
        for entry in entries:
            result.append(entry.name)
            if len(result) > MOST_FILES:
                raise UnsafeEntry(
                    f"a directory has more than {MOST_FILES:,} entries; remove what does not belong there"
                )
    return result


def _checked(fd: int, name: str, uid: int | None, *, is_file: bool = False) -> int:
    """Return the descriptor, or close it and raise ``UnsafeEntry``."""
    status = os.fstat(fd)
    if is_file and not stat.S_ISREG(status.st_mode):
        reason = "an entry is not a regular file"
    elif uid is not None and status.st_uid != uid:
        reason = f"a file or directory belongs to user {status.st_uid}, not to user {uid}"
    elif status.st_mode & stat.S_IWOTH:
        reason = "every user may write to a file or directory; change its mode with chmod o-w"
    else:
        return fd
    os.close(fd)
    raise UnsafeEntry(reason, name)


class FolderFiles:
    """The files of one process folder. ``uid``: who must own the folder and the user's directory; None: anybody.

    The folder is opened at the first use and stays open until ``close``. Methods raise ``OSError``.
    """

    def __init__(self, path: str | Path, uid: int | None = None) -> None:
        self.path = str(path)
        self._uid = uid
        self._fd = -1
        self._owner = -1

    def __enter__(self) -> Self:
        """Return this object, which is closed at the end of the block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the folder."""
        self.close()

    def open(self, name: str) -> int:
        """Open a file for reading, and return its descriptor."""
        fd = os.open(name, _FILE, dir_fd=self.directory())
        return _checked(fd, f"{self.path}/{name}", self._owner, is_file=True)

    def read(self, name: str, limit: int) -> bytes:
        """Return the first ``limit`` bytes of a file; empty if it cannot be opened or read."""
        try:
            fd = self.open(name)
        except OSError:
            return b""
        try:
            return os.read(fd, limit)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def names(self) -> list[str]:
        """Return the names in the folder."""
        return names_in(self.directory())

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of an entry, which may be a link or a special file, or None if there is none."""
        try:
            return os.stat(name, dir_fd=self.directory(), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_locked(self, name: str) -> bool:
        """Return whether a live process holds a lock on a file; False if the file is missing."""
        status = self.status(name)
        if status is None:
            return False
        if is_own(status):
            return True
        fd = self.open(name)
        try:
            return is_locked(fd)
        finally:
            os.close(fd)

    def unlink(self, name: str) -> None:
        """Remove an entry of the folder."""
        os.unlink(name, dir_fd=self.directory())

    def remove(self) -> None:
        """Remove the folder with its files; a directory in it is an error."""
        for name in self.names():
            self.unlink(name)
        self.close()
        parent, name = os.path.split(self.path)
        directory = open_directory(parent, self._uid)
        try:
            os.rmdir(name, dir_fd=directory)
        finally:
            os.close(directory)

    def owner(self) -> int:
        """Return the user id of the folder's owner."""
        self.directory()
        return self._owner

    def directory(self) -> int:
        """Return the folder's descriptor."""
        if self._fd < 0:
            if self._uid is None:
                self._fd = open_directory(self.path)
            else:
                parent, name = os.path.split(self.path)
                directory = open_directory(parent, self._uid)
                try:
                    self._fd = open_directory(name, self._uid, dir_fd=directory)
                finally:
                    os.close(directory)
            self._owner = os.fstat(self._fd).st_uid
        return self._fd

    def close(self) -> None:
        """Close the folder; the next use opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
