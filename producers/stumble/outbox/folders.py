"""Paths of outboxes: a directory per user, a folder per process, numbered segments."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from stumble.outbox.access import FolderFiles, names_in, open_directory
from stumble.outbox.lock import Descriptor, hold_lock

T = TypeVar("T")

LOCK, ABOUT, COUNTERS, RELAY = "lock", "about.json", "counters", "relay"
SUFFIX = ".seg"
_HIDDEN = ".new-"
_USER = re.compile(r"uid-([0-9]{1,10})\Z")
_SEGMENT = re.compile(r"([0-9]{8,12})\.seg\Z")
#: The names that `create` gives.
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MEMORY = "/dev/shm"  # noqa: S108  # the directories in it are per user and their owner is checked
_PRIVATE = 0o770
#: Unfinished folders are rare; each may contain ``MOST_FILES`` entries, so that removing one takes a part of a second.
_MOST_REMOVALS = 50


class OutboxFolder(NamedTuple):
    """A process's folder, from the reader's side."""

    uid: int
    name: str
    path: str

    @property
    def key(self) -> str:
        """Unique key of a folder on its host: user and name."""
        return f"uid-{self.uid}/{self.name}"

    def files(self) -> FolderFiles:
        """Return the folder's files, which must belong to its user."""
        return FolderFiles(self.path, self.uid)


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
        with suppress(OSError):
            FolderFiles(hidden).remove()
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


def default_users(directory: str) -> frozenset[int]:
    """Return root, this process's user and the owner of the outbox directory: each may replace any folder in it."""
    users = {0, os.geteuid()}
    with suppress(OSError):
        users.add(os.stat(directory).st_uid)
    return frozenset(users)


def user_directories(directory: str, uids: Iterable[int]) -> list[tuple[int, str]]:
    """Return uid and path of each existing directory of these users, on disk and in memory."""
    paths = [(uid, path) for uid in sorted(uids) for path in (f"{directory}/uid-{uid}", memory_root(directory, uid))]
    return [(uid, path) for uid, path in paths if os.path.lexists(path)]


def other_users(directory: str, uids: Collection[int]) -> list[int]:
    """Return the users with a directory on disk that are not among ``uids``."""
    with suppress(OSError):
        existing = {int(match[1]) for name in os.listdir(directory) if (match := _USER.match(name))}
        return sorted(existing.difference(uids))
    return []


def folders_of(uid: int, path: str) -> list[OutboxFolder]:
    """Return the folders in a user's directory, sorted by name. Raises ``OSError``, also ``UnsafeEntry``."""
    fd = open_directory(path, uid)
    try:
        names = [name for name in names_in(fd) if _FOLDER.match(name)]
    finally:
        os.close(fd)
    return [OutboxFolder(uid, name, f"{path}/{name}") for name in sorted(names)]


def outbox_folders(directory: str, uids: Iterable[int] | None = None) -> list[OutboxFolder]:
    """Return all folders of these users (by default `default_users`) that can be listed, sorted by user and name."""
    result: list[OutboxFolder] = []
    for uid, path in user_directories(directory, default_users(directory) if uids is None else uids):
        with suppress(OSError):
            result += folders_of(uid, path)
    return sorted(result)


def remove_unfinished(uid: int, path: str, older_than: float) -> None:
    """Remove folders that a process did not finish creating before it died, up to 50. ``older_than``: Unix seconds.

    A folder that contains a directory stays: no process creates one. Raises ``OSError``, also ``UnsafeEntry``.
    """
    fd = open_directory(path, uid)
    try:
        hidden = [name for name in names_in(fd) if name.startswith(_HIDDEN)]
    finally:
        os.close(fd)
    for name in hidden[:_MOST_REMOVALS]:
        with suppress(OSError), FolderFiles(f"{path}/{name}", uid) as files:
            if os.fstat(files.directory()).st_mtime < older_than and not files.is_locked(LOCK):
                files.remove()


def segment_numbers(folder: str | FolderFiles) -> list[int]:
    """Return the numbers of a folder's segments in order. Raises ``OSError``."""
    names = folder.names() if isinstance(folder, FolderFiles) else os.listdir(folder)
    numbers = [int(match[1]) for name in names if (match := _SEGMENT.match(name))]
    return sorted(number for number in numbers if segment_name(number) in names)


def segment_name(number: int) -> str:
    """Return the name of a segment."""
    return f"{number:08d}{SUFFIX}"


def segment_path(path: str, number: int) -> str:
    """Return the path of a folder's segment."""
    return f"{path}/{segment_name(number)}"


def outbox_usage(directory: str) -> tuple[int, int]:
    """Return bytes in segments and number of folders, as far as this user may list them; about 10 µs per folder.

    Only what a user's own regular files use on disk counts, not their holes: a file with holes would else make every
    service refuse events. In memory only this user's directory counts: any user may create directories there.
    """
    total = folders = 0
    users = [(int(match[1]), f"{directory}/{match[0]}") for name in _list(directory) if (match := _USER.match(name))]
    for uid, user in (*users, (os.geteuid(), memory_root(directory, os.geteuid()))):
        for name in _list(user):
            folder = f"{user}/{name}"
            with suppress(OSError):  # not a folder, not readable for this user, or removed meanwhile
                total += sum(_used(f"{folder}/{file}", uid) for file in os.listdir(folder) if file.endswith(SUFFIX))
                folders += 1
    return total, folders


def _used(path: str, uid: int) -> int:
    """Return the bytes that a user's regular file uses on disk; 0 for anything else. Raises ``OSError``."""
    status = os.lstat(path)
    is_own = stat.S_ISREG(status.st_mode) and status.st_uid == uid
    return min(status.st_size, status.st_blocks * 512) if is_own else 0


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def is_live(folder: OutboxFolder) -> bool:
    """Return whether a live process holds the folder's lock. Raises ``OSError``, also ``UnsafeEntry``."""
    with folder.files() as files:
        return files.is_locked(LOCK)
