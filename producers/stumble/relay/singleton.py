"""Ensures that only one relay serves an outbox directory."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from stumble.outbox.access import UnsafeEntry, open_directory
from stumble.outbox.folders import make_root
from stumble.wire.errors import StumbleError


class AlreadyRunning(StumbleError):
    """Another relay serves the directory."""


class OutboxUnusable(StumbleError):
    """The relay cannot use the outbox directory: it may not write there, or a development version wrote to it."""


#: A file that development versions before 0.1.0 wrote; ``rejected.jsonl`` replaces it, with other field names.
_OLD_FILE = "set-aside.jsonl"


class OutboxClaim:
    """The relay's own folder, locked until ``close``. The kernel drops the lock when the process ends.

    ``folder`` leads to the folder through its descriptor, so it stays the same folder: other users may write to the
    outbox directory, and could replace the folder by a link.
    """

    def __init__(self, lock: TextIO, directory: int) -> None:
        self._lock = lock
        self._directory = directory
        self.folder = _through(directory)

    def close(self) -> None:
        """Close the folder and drop the lock."""
        self._lock.close()
        os.close(self._directory)


def _through(directory: int) -> Path:
    return Path(f"/proc/self/fd/{directory}")


def claim_outbox(folder: Path) -> OutboxClaim:
    """Create the relay's own folder if it is missing, and lock it. Raises ``AlreadyRunning`` and ``OutboxUnusable``."""
    try:
        make_root(str(folder.parent))
        folder.mkdir(mode=0o750, exist_ok=True)
        directory = open_directory(str(folder), os.geteuid())
    except UnsafeEntry as error:
        reason, advice = error.strerror, "run the relay as the folder's owner, or remove the folder"
        raise OutboxUnusable(f"The relay does not use {folder}, since {reason}: {advice}.") from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        return OutboxClaim(_lock(folder, _through(directory)), directory)
    except StumbleError:
        os.close(directory)
        raise


def _unwritable(folder: Path, error: OSError) -> OutboxUnusable:
    return OutboxUnusable(
        f"The relay cannot write to {folder} ({error.strerror}): run it as a user with write permission, or name "
        "another directory with --outbox-dir."
    )


def _lock(folder: Path, opened: Path) -> TextIO:
    """Return the locked file in the open folder; ``folder`` is its name for messages."""
    try:
        file = (opened / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise _unwritable(folder, error) from error
    if (folder / _OLD_FILE).exists():
        file.close()
        raise OutboxUnusable(
            f"A development version before 0.1.0 wrote {folder / _OLD_FILE}, which this release does not "
            "read: move the file away, then start the relay again; no event in the outbox is lost."
        )
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise AlreadyRunning(
            f"Another relay (process {holder}) already serves {folder.parent}: run one relay per host."
        ) from error
    with suppress(OSError):  # on a full disk the lock is held without the process id
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), str(os.getpid()).encode())
    return file


#: On these file systems, record locks are not reliable, or not visible to other hosts.
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "gpfs", "9p", "afs", "beegfs", "sshfs"}
)


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the type of ``path``'s file system if it is a network one, else None. ``mounts``: as in /proc."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    best, result = -1, None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ") if len(before.split()) > 4 else ""  # proc(5)
        if point and path.resolve().is_relative_to(point) and len(point) >= best:
            best, result = len(point), after.split()[0]
    kind = (result or "").removeprefix("fuse.")
    return kind if kind in _NETWORK else None
