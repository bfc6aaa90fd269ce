"""Signals to all processes of a server."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def with_children(pid: int) -> list[int]:
    """Return a process and its children: each server process of PostgreSQL leads a session of its own."""
    pids = [pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                pids.append(int(stat.parent.name))
    return pids


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to each process that still runs."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
