"""The whole path as an operator runs it: each role is a process of its own, which a test can kill at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.services import ROOT, cli_environment

PARTITIONS = 4


class WholePath:
    """Roles on one Kafka and one database, with their own topics, outbox and state."""

    def __init__(self, folder: Path, kafka: str, database_url: str) -> None:
        self.folder = folder
        self.prefix = f"p{uuid.uuid4().hex[:8]}-"
        self.environment = cli_environment(
            STUMBLE_KAFKA__BOOTSTRAP_SERVERS=kafka,
            STUMBLE_KAFKA__TOPIC_PREFIX=self.prefix,
            STUMBLE_DATABASE_URL=database_url,
            STUMBLE_OUTBOX_DIR=str(folder / "outbox"),
            STUMBLE_RELAY_BRIDGE_USERS=str(os.geteuid()),  # the simulator's events name the hosts of a whole fleet
            STUMBLE_STATE_DIR=str(folder / "state"),
            STUMBLE_PROJECTOR_GROUP=f"{self.prefix}projector",
        )
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Create topics and tables."""
        self.command("topics", "apply", "--partitions", str(PARTITIONS))
        self.command("store", "migrate")

    def command(self, *words: str, timeout: float = 120) -> str:
        """Run a command to its end; fails unless it succeeds."""
        done = subprocess.run(
            self._argv(*words),
            check=False,
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"stumble {' '.join(words)}: {done.stderr}\n{self.logs()}"
        return done.stdout + done.stderr

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a role (`name` also names its log); no role of that name may be running."""
        assert name not in self.running
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self._argv(*(words or (name,))), env=self.environment, cwd=ROOT, stdout=log, stderr=log
            )
        return self.running[name]

    def kill(self, name: str) -> None:
        """Kill a role with -9; it must have been running."""
        process = self.running.pop(name)
        assert process.poll() is None, f"{name} had already ended\n{self.logs()}"
        process.kill()
        process.wait(10)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a role."""
        self.running[name].send_signal(number)

    def finish(self, name: str, timeout: float = 120) -> None:
        """Wait until a role ends by itself, successfully."""
        status = self.running[name].wait(timeout)
        del self.running[name]
        assert status == 0, f"{name} ended with {status}\n{self.logs()}"

    def close(self) -> None:
        """End every role that still runs."""
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))

    @staticmethod
    def _argv(*words: str) -> list[str]:
        return [sys.executable, "-m", "stumble.cli", *words]


def wait_until(done: Callable[[], object], what: str, seconds: float = 90) -> None:
    """Call `done` until it returns true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def size(folder: Path) -> int:
    """Return the bytes of all segments below an outbox; the relay may remove some at the same time."""
    total = 0
    for segment in folder.rglob("*.seg"):
        with suppress(FileNotFoundError):
            total += segment.stat().st_size
    return total
