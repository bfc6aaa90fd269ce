"""Where outboxes lie: a directory per user, a folder per process, segments by number."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from stumble.outbox.lock import Descriptor, hold, is_held

T = TypeVar("T")

LOCK, ABOUT, COUNTERS, RELAY = "lock", "about.json", "counters", "relay"
SUFFIX = ".seg"
_HIDDEN = ".new-"
_USER = re.compile(r"uid-(\d+)\Z")
_SEGMENT = re.compile(r"(\d{8,})\.seg\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MEMORY = "/dev/shm"  # noqa: S108  # the directories in it are per user and their owner is checked
_PRIVATE = 0o770


class OutboxFolder(NamedTuple):
    """A process's folder as a reader finds it."""

    uid: int
    name: str
    path: str

    @property
    def key(self) -> str:
        """What tells folders of one host apart: user and name."""
        return f"uid-{self.uid}/{self.name}"


def memory_root(directory: str, uid: int) -> str:
    """Return where a user's folders of durability ``memory`` lie: on a file system in memory, beside ``directory``."""
    mark = hashlib.sha256(os.path.abspath(directory).encode()).hexdigest()[:12]  # no resolving
    return f"{_MEMORY}/stumble-{mark}-uid-{uid}"


def create(
    directory: str, service: str, fill: Callable[[str], T], *, in_memory: bool, synced: bool = False
) -> tuple[str, Descriptor, T]:
    """Make a new folder for this process and hold its lock; return its path, the lock and what ``fill`` returns.

    The folder gets its name only when the lock is held and ``fill`` has put into it what a reader wants to find, so
    no reader ever takes a new one for a dead one's. ``synced``: only when the disk has the names. Raises ``OSError``.
    """
    uid = os.geteuid()
    user = memory_root(directory, uid) if in_memory else f"{directory}/uid-{uid}"
    if not in_memory:
        make_root(directory)
    _make_private(user)
    if os.stat(user, follow_symlinks=False).st_uid != uid:
        raise PermissionError(f"{user} belongs to another user")
    safe = _UNSAFE.sub("_", service)[:64] or "service"
    name = f"{safe}-{os.getpid()}-{os.urandom(4).hex()}"
    hidden = f"{user}/{_HIDDEN}{name}"
    os.mkdir(hidden, _PRIVATE)
    try:
        _share(hidden)
        lock = hold(f"{hidden}/{LOCK}")
        filled = fill(hidden)
        os.rename(hidden, f"{user}/{name}")
        if synced:
            for above in (user, directory, str(Path(directory).parent)):
                sync_directory(above)
    except OSError:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return f"{user}/{name}", lock, filled


def sync_directory(path: str) -> None:
    """Wait until the disk has a directory's entries. Raises ``OSError``."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_root(directory: str) -> None:
    """Create the outbox directory where it is missing, with the owner of the one above it.

    So a nova-manage or a relay that root runs first doesn't lock out the service. Raises ``OSError``.
    """
    if os.path.isdir(directory):
        return
    above = Path(directory).parent
    missing = [Path(directory)]
    while not above.exists():
        missing.append(above)
        above = above.parent
    owner = above.stat()
    for path in reversed(missing):
        with suppress(FileExistsError):
            path.mkdir(0o775)
            if os.geteuid() == 0:
                os.chown(path, owner.st_uid, owner.st_gid)


def _make_private(path: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, _PRIVATE)
        _share(path)


def _share(path: str) -> None:
    """Open a directory to its group, which is the relay's way in, whatever the service's umask says."""
    inherited = stat.S_IMODE(os.stat(path).st_mode) & stat.S_ISGID
    os.chmod(path, _PRIVATE | inherited)


def user_directories(directory: str) -> Iterator[tuple[int, str]]:
    """Yield uid and path of each user's directory, on disk and in memory."""
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            match = _USER.match(entry.name)
            if match and entry.is_dir(follow_symlinks=False):
                yield int(match[1]), entry.path
    prefix = os.path.basename(memory_root(directory, 0))[:-1]
    with suppress(OSError):
        for name in os.listdir(_MEMORY):
            # Anybody may make names in /dev/shm: only a directory of the user whose name it bears counts.
            if name.startswith(prefix) and (match := _USER.search(name)):
                status = os.lstat(f"{_MEMORY}/{name}")
                if stat.S_ISDIR(status.st_mode) and status.st_uid == int(match[1]):
                    yield int(match[1]), f"{_MEMORY}/{name}"


def outbox_folders(directory: str) -> list[OutboxFolder]:
    """Return all folders below ``directory`` that can be listed, by user and name."""
    result = []
    for uid, path in user_directories(directory):
        with suppress(PermissionError, FileNotFoundError), os.scandir(path) as entries:
            result += [
                OutboxFolder(uid, entry.name, entry.path)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    return sorted(result)


def segments(path: str) -> list[int]:
    """Return the numbers of a folder's segments in order. Raises ``OSError``."""
    return sorted(int(match[1]) for name in os.listdir(path) if (match := _SEGMENT.match(name)))


def segment_path(path: str, number: int) -> str:
    """Return the path of a folder's segment."""
    return f"{path}/{number:08d}{SUFFIX}"


def usage(directory: str) -> tuple[int, int]:
    """Return bytes in segments and number of folders, as far as this user can see them; some 10 µs a folder."""
    total = folders = 0
    for _, user in user_directories(directory):
        with suppress(OSError):
            for name in os.listdir(user):
                folder = f"{user}/{name}"
                with suppress(OSError):  # no folder, not ours to see, or gone by now
                    total += sum(
                        os.lstat(f"{folder}/{file}").st_size for file in os.listdir(folder) if file.endswith(SUFFIX)
                    )
                    folders += 1
    return total, folders


def is_live(folder: OutboxFolder) -> bool:
    """Tell whether a process holds the folder. Raises ``PermissionError``."""
    return is_held(f"{folder.path}/{LOCK}")
