"""What kind of file system a path lies on, without touching it: one that hangs must not hang the question."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["EPHEMERAL", "NETWORK", "Mount", "mount_of"]

#: Record locks there tell nothing, or nothing of other hosts, and a server that is away stops whoever writes.
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "gpfs", "9p", "afs", "beegfs"}
    | {"sshfs", "orangefs", "ocfs2", "gfs2", "s3fs"}
)
#: What lies there is gone with the next boot, or with the container.
EPHEMERAL = {
    "tmpfs": "memory",
    "ramfs": "memory",
    "overlay": "a container's own layer",
    "aufs": "a container's own layer",
}


class Mount(NamedTuple):
    """Where a file system is mounted, of what type, and whether for reading only."""

    point: str
    kind: str
    read_only: bool


def mount_of(path: Path, mountinfo: str | None = None) -> Mount | None:
    """Return the mount that a path lies on; `mountinfo` as in /proc/self/mountinfo (proc_pid_mountinfo(5))."""
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
