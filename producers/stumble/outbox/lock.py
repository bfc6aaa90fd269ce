"""The record lock that shows that a writer is alive.

POSIX record locks belong to a process: a forked child does not hold its parent's locks, the kernel drops them when the
process ends for any reason, and they are visible across containers that share the file. Process ids have none of
these properties.
"""

from __future__ import annotations

import fcntl
import os

#: Lock files that this process holds, by device and inode. Closing *any* descriptor of a file drops all of the
#: process's record locks on it, so a reader in the same process must not open such a file.
_held: dict[tuple[int, int], int] = {}


_NEW = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE = 0o640


def create_file(path: str, flags: int) -> int:
    """Create a file that its group (the relay) may read, independent of the umask; return its descriptor.

    Raises ``OSError``, also if the file exists.
    """
    fd = os.open(path, flags | _NEW, _MODE)
    try:
        os.fchmod(fd, _MODE)
    except OSError:
        os.close(fd)
        raise
    return fd


class Descriptor:
    """An open file that is closed with its last reference, so that no thread writes to a reused number."""

    __slots__ = ("fd", "identity", "is_lock")

    def __init__(self, fd: int, *, is_lock: bool = False) -> None:
        self.fd = fd
        self.is_lock = is_lock
        status = os.fstat(fd)
        self.identity = (status.st_dev, status.st_ino)
        if is_lock:
            _held[self.identity] = os.getpid()

    def is_sound(self) -> bool:
        """Return whether the number still refers to the same file, and the file still has a name."""
        try:
            status = os.fstat(self.fd)
        except OSError:
            return False
        return status.st_nlink > 0 and (status.st_dev, status.st_ino) == self.identity

    def __del__(self) -> None:
        # If the service closed all descriptors, the number may now belong to another file, which must stay open.
        try:
            status = os.fstat(self.fd)
            if (status.st_dev, status.st_ino) == self.identity:
                if self.is_lock and _held.get(self.identity) == os.getpid():
                    del _held[self.identity]
                os.close(self.fd)
        except (OSError, AttributeError, TypeError):  # already closed, or the interpreter is shutting down
            pass


def hold_lock(path: str) -> Descriptor:
    """Create the lock file of a new folder and lock it. Raises ``OSError`` if the file system has no locks."""
    fd = create_file(path, os.O_RDWR)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return Descriptor(fd, is_lock=True)


def is_own(status: os.stat_result) -> bool:
    """Return whether this process holds the lock file with this status, which it must not open a second time."""
    return _held.get((status.st_dev, status.st_ino)) == os.getpid()


def is_locked(fd: int) -> bool:
    """Return whether another process holds a lock on the open file."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    return False
