"""Real Kafka and PostgreSQL for a run: started by the first test that needs them, shared by all xdist workers."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from stumble.local.process import read_log_tail, start_time

ROOT = Path(__file__).parents[2]
ROOTS = os.pathsep.join(str(ROOT / name) for name in ("schemas", "producers", "consumers", "deploy"))
_KEEPER = Path(__file__).with_name("keeper.py")


def cli_environment(**extra: str) -> dict[str, str]:
    """The environment in which a child process finds stumble's four roots."""
    return {**os.environ, "PYTHONPATH": ROOTS, **extra}


def address_of(kind: str, base: Path, owner: int) -> str:
    """Return the address of the run's `kind`; starts it if it isn't running. `base` is the run's folder."""
    base.mkdir(parents=True, exist_ok=True)
    folder = base / kind
    with (base / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "address").exists():
            _start(kind, folder, owner)
    return (folder / "address").read_text()


def stop_all(base: Path) -> None:
    """Stop every server of the run and wait until it has ended."""
    for file in base.glob("*.keeper"):
        pid, started = (int(word) for word in file.read_text().split())
        if start_time(pid) != started:
            continue
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 40
        while start_time(pid) == started and time.monotonic() < deadline:
            time.sleep(0.05)


def _start(kind: str, folder: Path, owner: int) -> None:
    folder.mkdir(exist_ok=True)
    log = folder.parent / f"{kind}.keeper.log"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        sys.executable, [sys.executable, str(_KEEPER), kind, str(folder), str(owner)], cli_environment(),
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                      (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)],
        setsid=True,
    )  # fmt: skip
    started = start_time(pid)
    (folder.parent / f"{kind}.keeper").write_text(f"{pid} {started}")
    deadline = time.monotonic() + 150
    while not (folder / "address").exists():
        ended = started is None or start_time(pid) != started
        if ended or time.monotonic() > deadline:
            raise RuntimeError(f"no {kind} for this test run: {read_log_tail(log, 30)}")
        time.sleep(0.05)
