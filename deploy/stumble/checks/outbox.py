"""Check this host's outbox: its file system, free space, who may write, and whether a relay sends its events."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stumble.checks.admission import check_admission
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.checks.mounts import EPHEMERAL, NETWORK, mount_of
from stumble.outbox.folders import RELAY, outbox_folders, outbox_usage
from stumble.outbox.writer import DEFAULT_MAX_BYTES, DEFAULT_MIN_FREE

__all__ = ["check_outbox", "check_relay"]

_LITTLE_FREE = 0.10
_SECONDS = 5.0
#: Creates and removes a file: access(2) does not consider SELinux, quotas and mounts.
_TRY = 'f="$1/.stumble-check-$$"; : > "$f" && rm -f "$f"'


def check_outbox(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the file system first: a network file system, which may hang, is not accessed."""
    directory = Path(scope.settings.outbox_dir)
    mount = mount_of(directory)
    if mount and mount.kind in NETWORK:
        todo = (
            "move it to a local disk: on a network file system, locks do not show which service is alive, and Nova "
            "hangs while the server is unavailable"
        )
        yield wrong(str(directory), f"is on {mount.kind} ({mount.point}), a network file system", todo)
        return
    if mount and mount.kind in EPHEMERAL:
        what = EPHEMERAL[mount.kind]
        todo = "mount a volume of the host there, the same one for all services and the relay"
        yield wrong(str(directory), f"is on {mount.kind}, {what}: events are lost with it", todo)
    if mount and mount.read_only:
        yield wrong(str(directory), "its file system is mounted read-only", f"mount -o remount,rw {mount.point}")
        return
    above = next(path for path in (directory, *directory.parents) if path.exists())
    yield from _space(above)
    yield from _rights(scope, directory, above)
    yield from check_admission(scope)


def _space(path: Path) -> Iterator[CheckResult]:
    status = os.statvfs(path)
    free, free_bytes = status.f_bavail / max(status.f_blocks, 1), status.f_bavail * status.f_frsize
    says = f"{free:.0%} free ({free_bytes >> 20} MiB)"
    if free < DEFAULT_MIN_FREE:
        yield wrong(str(path), f"{says}: below 5 % the outbox refuses events", "free some space, or move the outbox")
    elif free < _LITTLE_FREE or free_bytes < DEFAULT_MAX_BYTES:
        yield warning(
            str(path), f"{says}: too little for a long outage of Kafka", "free some space, or move the outbox"
        )
    else:
        yield fine(str(path), says)
    if status.f_files and status.f_favail < 1000:
        yield wrong(str(path), f"{status.f_favail} inodes are free", "remove small files, or move the outbox")


def _rights(scope: CheckContext, directory: Path, above: Path) -> Iterator[CheckResult]:
    user = scope.user or pwd.getpwuid(os.geteuid()).pw_name
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        yield wrong(user, "there is no such user on this host", "name the user of Nova's services with --user")
        return
    if os.geteuid() == 0 and scope.user is None:
        todo = "stumble check outbox --user nova"
        yield warning(str(directory), "checked as root, which may write anywhere", todo)
    if entry.pw_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        yield skipped(user, f"only root or {user} can check whether {user} may write", "run it as root")
        return
    own = directory / f"uid-{entry.pw_uid}"
    for path in [above, own] if own.exists() else [above]:
        yield _writable(path, entry)


def _writable(path: Path, entry: pwd.struct_passwd) -> CheckResult:
    other = entry.pw_uid != os.geteuid()
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    done = subprocess.run(  # noqa: S603 - no untrusted input
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
    reason = done.stderr.strip().rpartition(": ")[2] or "refused"
    group = grp.getgrgid(entry.pw_gid).gr_name
    todo = f"install -d -o {entry.pw_name} -g {group} -m 2775 {path}; with SELinux see operations.md"
    return wrong(str(path), f"{entry.pw_name} cannot write: {reason}", todo)


def check_relay(scope: CheckContext) -> Iterator[CheckResult]:
    """Report whether a relay serves the outbox, and how much waits in it if none does."""
    directory = Path(scope.settings.outbox_dir)
    mount = mount_of(directory)
    if mount and mount.kind in NETWORK:
        yield skipped(str(directory), f"is on {mount.kind}", "see the check `outbox`")
        return
    size, folders = outbox_usage(str(directory)) if directory.exists() else (0, 0)
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
        yield skipped(str(lock), "this user may not open it", "run it as root or as the relay's user")
        return
    says = f"no relay serves it; {folders} folders with {size >> 10} KiB wait"
    yield wrong(str(directory), says, "systemctl enable --now stumble-relay, or start `stumble relay`")
