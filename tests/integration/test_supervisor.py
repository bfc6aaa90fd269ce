"""The supervisor: it restarts roles that end, logs one line, stops by stages, leaves no processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stumble.local.errors import LocalError
from stumble.local.process import start_time
from stumble.local.supervisor import Role, Supervisor
from tests.support.command import running
from tests.support.services import cli_environment

SHELL = ("/bin/sh", "-c")


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, messages: list[str]):
    created = Supervisor(tmp_path, {}, messages.append, SHELL, first_pause=0.1)
    yield created
    created.stop()


def until(supervisor: Supervisor, ready, timeout: float = 60.0) -> None:
    supervisor.wait_until(ready, "the test", timeout)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_ended_role_is_restarted(supervisor: Supervisor, messages: list[str], tmp_path: Path) -> None:
    lines_file = tmp_path / "marks"
    supervisor.start(Role("flaky", (f"echo x >> {lines_file}; echo the disk is full >&2; exit 7",), 0))
    until(supervisor, lambda: len(lines(lines_file)) >= 3)
    assert messages[0].startswith("flaky ended with status 7: the disk is full; starting it again in")


def test_pause_before_a_restart_grows(supervisor: Supervisor, messages: list[str]) -> None:
    supervisor.start(Role("flaky", ("exit 1",), 0))
    until(supervisor, lambda: len(messages) >= 4)
    waits = [float(line.partition(" in ")[2].partition(" s ")[0]) for line in messages]
    assert waits == sorted(waits)


def test_finite_role_is_not_restarted(supervisor: Supervisor, messages: list[str], tmp_path: Path) -> None:
    lines_file = tmp_path / "marks"
    supervisor.start(Role("feeder", (f"echo x >> {lines_file}",), 0, finite=True))
    until(supervisor, lambda: bool(messages))
    assert messages == ["feeder has finished"]
    assert lines(lines_file) == ["x"]


def test_killed_role_is_reported(supervisor: Supervisor, messages: list[str]) -> None:
    supervisor.start(Role("role", ("exec sleep 600",), 0))
    (pid,) = supervisor.pids()
    os.kill(pid, signal.SIGKILL)
    until(supervisor, lambda: bool(messages))
    assert messages[0].startswith("role was killed by signal 9")


def test_stages_stop_in_order(tmp_path: Path, messages: list[str]) -> None:
    lines_file, ready = tmp_path / "marks", tmp_path / "ready"
    supervisor = Supervisor(tmp_path, {}, messages.append, SHELL)
    body = "trap 'echo $NAME >> {0}; exit 0' TERM; echo r >> {1}; while :; do sleep 0.05; done"
    try:
        for name, stage in (("reader", 2), ("maker", 0), ("sender", 1)):
            supervisor.start(Role(name, (body.format(lines_file, ready),), stage, {"NAME": name}))
        until(supervisor, lambda: len(lines(ready)) == 3)
    finally:
        supervisor.stop()
    assert lines(lines_file) == ["maker", "sender", "reader"]
    assert messages == []


def test_role_that_ignores_sigterm_is_killed(tmp_path: Path, messages: list[str]) -> None:
    supervisor = Supervisor(tmp_path, {}, messages.append, SHELL, stop_seconds=0.3)
    ready = tmp_path / "ready"
    try:
        supervisor.start(Role("deaf", (f"trap '' TERM; echo r > {ready}; while :; do sleep 0.05; done",), 0))
        until(supervisor, ready.exists)
        (pid,) = supervisor.pids()
    finally:
        supervisor.stop()
    assert start_time(pid) is None
    assert "deaf did not stop" in messages[0]


def test_failed_command_raises_with_its_reason(supervisor: Supervisor) -> None:
    with pytest.raises(LocalError, match="migrate failed with status 1: no such database"):
        supervisor.run("migrate", "echo no such database >&2; exit 1")


_PARENT = """
import sys
from pathlib import Path
from stumble.local.supervisor import Role, Supervisor
supervisor = Supervisor(Path(sys.argv[1]), {}, print, ("/bin/sh", "-c"))
supervisor.start(Role("role", ("exec sleep 600",), 0))
print(*supervisor.pids(), flush=True)
for _ in supervisor.watch():
    pass
"""


def test_roles_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    with running([sys.executable, "-c", _PARENT, tmp_path], env=cli_environment(), stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert start_time(pid)
        parent.kill()
    deadline = time.monotonic() + 60
    while start_time(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert start_time(pid) is None
