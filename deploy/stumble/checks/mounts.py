"""Return the type of a path's file system without accessing it: one that hangs must not hang the check."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["EPHEMERAL", "NETWORK", "Mount", "mount_of"]

#: Record locks there are not reliable between hosts, and writers hang while the server is unavailable.
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "gpfs", "9p", "afs", "beegfs"}
    | {"sshfs", "orangefs", "ocfs2", "gfs2", "s3fs"}
)
#: The next boot, or the end of the container, deletes what is stored there.
EPHEMERAL = {
    "tmpfs": "memory",
    "ramfs": "memory",
    "overlay": "a container's own layer",
    "aufs": "a container's own layer",
}


class Mount(NamedTuple):
    """Where a file system is mounted, its type, and whether it is mounted read-only."""

    point: str
    kind: str
    read_only: bool


def mount_of(path: Path, mountinfo: str | None = None) -> Mount | None:
    """Return the mount that a path is on; `mountinfo` as in /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    wanted = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would ask the file system
    best: Mount | None = None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()[0]
        point = fields[4].replace("\\040", " ")
        if wanted.is_relative_to(point) and (best is None or len(point) >= len(best.point)):
            best = Mount(point, kind.removeprefix("fuse."), "ro" in fields[5].split(","))
    return best
