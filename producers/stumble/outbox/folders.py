"""Paths of outboxes: a directory per user, a folder per process, numbered segments."""

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

from stumble.outbox.lock import Descriptor, hold_lock, is_held

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
    """A process's folder, from the reader's side."""

    uid: int
    name: str
    path: str

    @property
    def key(self) -> str:
        """Unique key of a folder on its host: user and name."""
        return f"uid-{self.uid}/{self.name}"


def memory_root(directory: str, uid: int) -> str:
    """Return a user's directory for durability ``memory``: in /dev/shm, named after a hash of ``directory``."""
    mark = hashlib.sha256(os.path.abspath(directory).encode()).hexdigest()[:12]  # links are not resolved
    return f"{_MEMORY}/stumble-{mark}-uid-{uid}"


def create(
    directory: str, service: str, fill: Callable[[str], T], *, in_memory: bool, synced: bool = False
) -> tuple[str, Descriptor, T]:
    """Create a folder for this process and hold its lock; return its path, the lock and the result of ``fill``.

    The folder gets its final name only after the lock is held and ``fill`` has written its files, so that no reader
    mistakes a new folder for that of a dead process. ``synced``: wait until the directory entries are on disk.
    Raises ``OSError``.
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
        lock = hold_lock(f"{hidden}/{LOCK}")
        filled = fill(hidden)
        os.rename(hidden, f"{user}/{name}")
        if synced:
            for path in (user, directory, str(Path(directory).parent)):
                sync_directory(path)
    except OSError:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return f"{user}/{name}", lock, filled


def sync_directory(path: str) -> None:
    """Wait until a directory's entries are on disk. Raises ``OSError``."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_root(directory: str) -> None:
    """Create the outbox directory if it is missing, with the owner of its parent directory.

    So the service still has access if root runs nova-manage or the relay first. Raises ``OSError``.
    """
    if os.path.isdir(directory):
        return
    parent = Path(directory).parent
    missing = [Path(directory)]
    while not parent.exists():
        missing.append(parent)
        parent = parent.parent
    owner = parent.stat()
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
    """Give a directory's group access, which the relay needs, independent of the service's umask."""
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
            # Any user may create entries in /dev/shm: a directory counts only if the user in its name owns it.
            if name.startswith(prefix) and (match := _USER.search(name)):
                status = os.lstat(f"{_MEMORY}/{name}")
                if stat.S_ISDIR(status.st_mode) and status.st_uid == int(match[1]):
                    yield int(match[1]), f"{_MEMORY}/{name}"


def outbox_folders(directory: str) -> list[OutboxFolder]:
    """Return all folders below ``directory`` that can be listed, sorted by user and name."""
    result = []
    for uid, path in user_directories(directory):
        with suppress(PermissionError, FileNotFoundError), os.scandir(path) as entries:
            result += [
                OutboxFolder(uid, entry.name, entry.path)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    return sorted(result)


def segment_numbers(path: str) -> list[int]:
    """Return the numbers of a folder's segments in order. Raises ``OSError``."""
    return sorted(int(match[1]) for name in os.listdir(path) if (match := _SEGMENT.match(name)))


def segment_path(path: str, number: int) -> str:
    """Return the path of a folder's segment."""
    return f"{path}/{number:08d}{SUFFIX}"


def outbox_usage(directory: str) -> tuple[int, int]:
    """Return bytes in segments and number of folders, as far as this user may list them; about 10 µs per folder."""
    total = folders = 0
    for _, user in user_directories(directory):
        with suppress(OSError):
            for name in os.listdir(user):
                folder = f"{user}/{name}"
                with suppress(OSError):  # not a folder, not readable for this user, or removed meanwhile
                    total += sum(
                        os.lstat(f"{folder}/{file}").st_size for file in os.listdir(folder) if file.endswith(SUFFIX)
                    )
                    folders += 1
    return total, folders


def is_live(folder: OutboxFolder) -> bool:
    """Return whether a live process holds the folder's lock. Raises ``PermissionError``."""
    return is_held(f"{folder.path}/{LOCK}")
