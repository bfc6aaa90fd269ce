"""The record lock by which a live writer is known.

POSIX record locks belong to a process: a child of a fork doesn't hold its parent's, the kernel drops them when the
process dies in whatever way, and they are seen across containers that share the file. Process ids tell none of that.
"""

from __future__ import annotations

import fcntl
import os

#: Lock files that this very process holds, by device and inode. Closing *any* descriptor of a file drops all of a
#: process's record locks on it, so a reader in the same process must not even open such a file.
_held: dict[tuple[int, int], int] = {}


_NEW = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE = 0o640


def create_file(path: str, flags: int) -> int:
    """Create a file and return its descriptor; the group, which is the relay's way in, may read it whatever the umask.

    Raises ``OSError``, also where the file is there already.
    """
    fd = os.open(path, flags | _NEW, _MODE)
    try:
        os.fchmod(fd, _MODE)
    except OSError:
        os.close(fd)
        raise
    return fd


class Descriptor:
    """An open file that is closed with its last reference; so no thread can find its number reused in mid-write."""

    __slots__ = ("fd", "identity", "is_lock")

    def __init__(self, fd: int, *, is_lock: bool = False) -> None:
        self.fd = fd
        self.is_lock = is_lock
        status = os.fstat(fd)
        self.identity = (status.st_dev, status.st_ino)
        if is_lock:
            _held[self.identity] = os.getpid()

    def is_sound(self) -> bool:
        """Tell whether the number still stands for the same file, and the file still has a name."""
        try:
            status = os.fstat(self.fd)
        except OSError:
            return False
        return status.st_nlink > 0 and (status.st_dev, status.st_ino) == self.identity

    def __del__(self) -> None:
        # A service that closed every descriptor may have reused the number: then it isn't ours to close.
        try:
            status = os.fstat(self.fd)
            if (status.st_dev, status.st_ino) == self.identity:
                if self.is_lock and _held.get(self.identity) == os.getpid():
                    del _held[self.identity]
                os.close(self.fd)
        except (OSError, AttributeError, TypeError):  # closed already, or the interpreter is going
            pass


def hold(path: str) -> Descriptor:
    """Create the lock file of a new folder and hold it. Raises ``OSError`` where the file system has no locks."""
    fd = create_file(path, os.O_RDWR)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return Descriptor(fd, is_lock=True)


def is_held(path: str) -> bool:
    """Tell whether a live process holds the lock file. A missing file is held by nobody.

    Raises ``PermissionError`` where it can't be read.
    """
    try:
        status = os.stat(path, follow_symlinks=False)
        if _held.get((status.st_dev, status.st_ino)) == os.getpid():
            return True
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    else:
        return False
    finally:
        os.close(fd)
