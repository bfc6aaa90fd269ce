"""The outbox of this host: where it lies, how much room there is, who may write, and whether a relay empties it."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.checks.mounts import EPHEMERAL, NETWORK, mount_of
from stumble.outbox.folders import RELAY, outbox_folders, usage
from stumble.outbox.writer import DEFAULT_MAX_BYTES, DEFAULT_MIN_FREE

__all__ = ["check_outbox", "relay"]

_LITTLE_FREE = 0.10
_SECONDS = 5.0
#: A file that is made and taken away again: what access(2) says is not what SELinux, quotas and mounts allow.
_TRY = 'f="$1/.stumble-check-$$"; : > "$f" && rm -f "$f"'


def check_outbox(scope: CheckContext) -> Iterator[CheckResult]:
    """Look at the file system first: one over a network that hangs isn't touched."""
    directory = Path(scope.settings.outbox_dir)
    mount = mount_of(directory)
    if mount and mount.kind in NETWORK:
        todo = "put it on a local disk: locks there don't say which service lives, and a server that is away stops Nova"
        yield wrong(str(directory), f"lies on {mount.kind} ({mount.point}), a network file system", todo)
        return
    if mount and mount.kind in EPHEMERAL:
        what = EPHEMERAL[mount.kind]
        todo = "mount a volume of the host there, the same for all services and the relay"
        yield wrong(str(directory), f"lies on {mount.kind}, {what}: events are lost with it", todo)
    if mount and mount.read_only:
        yield wrong(str(directory), "its file system is mounted for reading only", f"mount -o remount,rw {mount.point}")
        return
    above = next(path for path in (directory, *directory.parents) if path.exists())
    yield from _space(above)
    yield from _rights(scope, directory, above)


def _space(path: Path) -> Iterator[CheckResult]:
    status = os.statvfs(path)
    free, room = status.f_bavail / max(status.f_blocks, 1), status.f_bavail * status.f_frsize
    says = f"{free:.0%} free ({room >> 20} MiB)"
    if free < DEFAULT_MIN_FREE:
        yield wrong(str(path), f"{says}: nothing is accepted below 5 %", "make room, or move the outbox")
    elif free < _LITTLE_FREE or room < DEFAULT_MAX_BYTES:
        yield warning(str(path), f"{says}: an outage of Kafka may not fit", "make room, or move the outbox")
    else:
        yield fine(str(path), says)
    if status.f_files and status.f_favail < 1000:
        yield wrong(str(path), f"{status.f_favail} inodes are left", "remove small files, or move the outbox")


def _rights(scope: CheckContext, directory: Path, above: Path) -> Iterator[CheckResult]:
    user = scope.user or pwd.getpwuid(os.geteuid()).pw_name
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        yield wrong(user, "there is no such user on this host", "name the one that Nova's services run as with --user")
        return
    if os.geteuid() == 0 and scope.user is None:
        todo = "stumble check outbox --user nova"
        yield warning(str(directory), "checked as root, who may write anywhere", todo)
    if entry.pw_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        yield skipped(user, f"only root or {user} can see whether {user} may write", "run it as root")
        return
    own = directory / f"uid-{entry.pw_uid}"
    for path in [above, own] if own.exists() else [above]:
        yield _writable(path, entry)


def _writable(path: Path, entry: pwd.struct_passwd) -> CheckResult:
    other = entry.pw_uid != os.geteuid()
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    done = subprocess.run(  # noqa: S603 - the words are ours
        ["/bin/sh", "-c", _TRY, "sh", str(path)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        cwd="/",
        user=entry.pw_uid if other else None,
        group=entry.pw_gid if other else None,
        extra_groups=groups if other else None,
    )
    if done.returncode == 0:
        return fine(str(path), f"{entry.pw_name} may write")
    said = done.stderr.strip().rpartition(": ")[2] or "refused"
    group = grp.getgrgid(entry.pw_gid).gr_name
    todo = f"install -d -o {entry.pw_name} -g {group} -m 2775 {path}; with SELinux see operations.md"
    return wrong(str(path), f"{entry.pw_name} can't write: {said}", todo)


def relay(scope: CheckContext) -> Iterator[CheckResult]:
    """Tell whether a relay holds the directory, and what waits where none does."""
    directory = Path(scope.settings.outbox_dir)
    mount = mount_of(directory)
    if mount and mount.kind in NETWORK:
        yield skipped(str(directory), f"lies on {mount.kind}", "see the check `outbox`")
        return
    size, folders = usage(str(directory)) if directory.exists() else (0, 0)
    lock = directory / RELAY / "lock"
    try:
        with lock.open("a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield fine(
            str(directory), f"a relay serves it; {len(outbox_folders(str(directory)))} processes, {size >> 10} KiB"
        )
        return
    except FileNotFoundError:
        pass
    except PermissionError:
        yield skipped(str(lock), "may not be opened", "run it as root or as the relay's user")
        return
    says = f"no relay serves it; {folders} folders with {size >> 10} KiB wait"
    yield wrong(str(directory), says, "systemctl enable --now stumble-relay, or start `stumble relay`")
