"""Stumble's roles as child processes of the benchmarks, started by the command line as an operator would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.jobs import ROOT, ROOTS, clean_environment


class Role:
    """A running daemon."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def peak_mb(self) -> float:
        """Return its largest resident set so far (MB)."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the process has ended")

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that it has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Wait until it has ended; return its status."""
        return self._process.wait(seconds)

    def require_running(self) -> None:
        """Raise RuntimeError unless it runs."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.returncode}")


@contextmanager
def role(name: str, log: Path, **environment: str) -> Iterator[Role]:
    """Run `stumble NAME`; end it with SIGTERM, after 20 s with SIGKILL."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "stumble.cli", *name.split()],
            stdout=output,
            stderr=output,
            env={**clean_environment(), "PYTHONPATH": ROOTS, **environment},
            cwd=ROOT,
        )
    try:
        yield Role(process)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(what: str, done: object, seconds: float = 60) -> None:
    """Call `done` until it returns a true value.

    Raises:
        RuntimeError: it did not do so within `seconds`.

    """
    assert callable(done)
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.02)
