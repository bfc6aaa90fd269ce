"""Start one command such that it dies with its parent: ``guard.py SIGNAL PARENT USER DELAY -- ARGV``.

The kernel's parent-death signal is the only thing that survives a ``kill -9`` of the parent. It has to be
set in the child between fork and exec; a tiny interpreter that then replaces itself does it without running
Python code in a forked copy of a process that may have threads.

PostgreSQL refuses to run as root. With USER other than ``-`` the command runs as that user, keeping the
one capability (CAP_DAC_OVERRIDE) that lets it reach program and data below folders that only root may enter;
nobody has to widen the permissions of a home folder for it. In a container without it, it goes without.

Standard library only, and run with ``-I -S``: it starts in 20 ms.
"""

import ctypes
import os
import pwd
import signal
import struct
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


def drop_root(user: str) -> None:
    """Become `user`, keeping CAP_DAC_OVERRIDE over the coming exec where the system allows it."""
    entry = pwd.getpwnam(user)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    mask = 1 << CAP_DAC_OVERRIDE
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=6I", mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; then the upper halves
    if libc.capset(header, sets) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main(argv: "list[str]") -> None:
    """Set the signal mask, user and death signal, then become the command."""
    death_signal, parent, user, delay, separator, *command = argv
    if separator != "--" or not command:
        raise SystemExit("guard.py is for the local stack only: SIGNAL PARENT USER DELAY -- ARGV")
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if user != "-":
        drop_root(user)
    # After the change of user, which clears it.
    libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        raise SystemExit(f"the process that should watch over {command[0]} is gone")
    time.sleep(float(delay))
    os.execv(command[0], command)  # noqa: S606  # becoming the command is the point


if __name__ == "__main__":
    main(sys.argv[1:])
