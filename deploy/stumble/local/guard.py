"""Start one command that ends when its parent ends: ``guard.py SIGNAL PARENT USER -- ARGV``.

``guard.py check USER FOLDER...`` ends with status 0 if programs that run as USER reach the folders, else with status 1
and a sentence for the operator.

The kernel's parent-death signal is the only thing that survives a ``kill -9`` of the parent. It has to be
set in the child between fork and exec; a small interpreter that then replaces itself sets it without running
Python code in a forked copy of a process that may have threads.

PostgreSQL refuses to run as root. With USER other than ``-`` the command runs as that user and retains one
capability, CAP_DAC_OVERRIDE, so that it reaches its programs and data below folders that only root may enter, such
as /root, and no folder needs wider permissions. In a container without this capability, the command
runs without it.

Standard library only, compatible with Python 3.6, and run with ``-I -S``: it starts in 20 ms.
"""

import ctypes
import os
import pwd
import signal
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_GET_SECUREBITS = 27
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
SECBIT_NO_SETUID_FIXUP = 1 << 2

UNREACHABLE = (
    "PostgreSQL refuses to run as root, and as the user {user} it cannot reach {folders}; work as another user than "
    "root, or in a folder that every user may enter, such as /opt/stumble"
)

libc = ctypes.CDLL(None, use_errno=True)


def drop_root(user: str) -> None:
    """Become `user`, and retain CAP_DAC_OVERRIDE across the next exec where the system allows it."""
    entry = pwd.getpwnam(user)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    # initdb searches for `postgres` with access(2), which ignores the capabilities of a process whose real user is not
    # root unless this bit is set (access_override_creds in Linux' fs/open.c). It survives exec, see capabilities(7).
    libc.prctl(PR_SET_SECUREBITS, libc.prctl(PR_GET_SECUREBITS) | SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    if set_capabilities(1 << CAP_DAC_OVERRIDE):
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)
    else:
        set_capabilities(0)


def set_capabilities(mask: int) -> bool:
    """Drop all capabilities except those in `mask`; return False, with nothing changed, if one of these is missing."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=6I", mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; then the upper halves
    return bool(libc.capset(header, sets) == 0)


def can_reach(user: str, folders: "list[str]") -> bool:
    """Become `user` and return whether its programs can enter and list all `folders`, as access(2) sees it."""
    try:
        drop_root(user)
    except (KeyError, OSError):  # no such user, or one that this container does not map
        return False
    return all(os.access(folder, os.R_OK | os.X_OK) for folder in folders)


def main(argv: "list[str]") -> None:
    """Set the signal mask, user and death signal, then become the command."""
    if argv[:1] == ["check"]:
        user, folders = argv[1], argv[2:]
        sys.exit(None if can_reach(user, folders) else UNREACHABLE.format(user=user, folders=" or ".join(folders)))
    death_signal, parent, user, separator, *command = argv
    if separator != "--" or not command:
        raise SystemExit("guard.py is for the local stack only: SIGNAL PARENT USER -- ARGV")
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if user != "-":
        drop_root(user)
    # After the change of user, which clears the death signal.
    libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        raise SystemExit(f"the parent process of {command[0]} has ended")
    os.execv(command[0], command)  # noqa: S606  # this process becomes the command


if __name__ == "__main__":
    main(sys.argv[1:])
