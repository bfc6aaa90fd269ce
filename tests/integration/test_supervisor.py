"""The supervisor: restarts what ends, says so in one line, stops by stages, leaves nothing."""

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
from tests.support.services import cli_environment

SHELL = ("/bin/sh", "-c")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watcher(tmp_path: Path, said: list[str]):
    made = Supervisor(tmp_path, {}, said.append, SHELL, first_pause=0.1)
    yield made
    made.stop()


def until(watcher: Supervisor, ready, timeout: float = 60.0) -> None:
    watcher.wait_until(ready, "the test", timeout)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_role_that_ends_is_started_again(watcher: Supervisor, said: list[str], tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    watcher.start(Role("flaky", (f"echo x >> {marks}; echo the disk is full >&2; exit 7",), 0))
    until(watcher, lambda: len(lines(marks)) >= 3)
    assert said[0].startswith("flaky ended with status 7: the disk is full; starting it again in")


def test_waiting_time_grows(watcher: Supervisor, said: list[str]) -> None:
    watcher.start(Role("flaky", ("exit 1",), 0))
    until(watcher, lambda: len(said) >= 4)
    waits = [float(line.partition(" in ")[2].partition(" s ")[0]) for line in said]
    assert waits == sorted(waits)


def test_a_finite_role_may_finish(watcher: Supervisor, said: list[str], tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    watcher.start(Role("feeder", (f"echo x >> {marks}",), 0, finite=True))
    until(watcher, lambda: bool(said))
    assert said == ["feeder has finished"]
    assert lines(marks) == ["x"]


def test_a_killed_role_is_told(watcher: Supervisor, said: list[str]) -> None:
    watcher.start(Role("role", ("exec sleep 600",), 0))
    (pid,) = watcher.pids()
    os.kill(pid, signal.SIGKILL)
    until(watcher, lambda: bool(said))
    assert said[0].startswith("role was killed by signal 9")


def test_stages_stop_in_order(tmp_path: Path, said: list[str]) -> None:
    marks, ready = tmp_path / "marks", tmp_path / "ready"
    watcher = Supervisor(tmp_path, {}, said.append, SHELL)
    body = "trap 'echo $NAME >> {0}; exit 0' TERM; echo r >> {1}; while :; do sleep 0.05; done"
    for name, stage in (("reader", 2), ("maker", 0), ("sender", 1)):
        watcher.start(Role(name, (body.format(marks, ready),), stage, {"NAME": name}))
    until(watcher, lambda: len(lines(ready)) == 3)
    watcher.stop()
    assert lines(marks) == ["maker", "sender", "reader"]
    assert said == []


def test_one_that_will_not_stop_is_killed(tmp_path: Path, said: list[str]) -> None:
    watcher = Supervisor(tmp_path, {}, said.append, SHELL, stop_seconds=0.3)
    ready = tmp_path / "ready"
    watcher.start(Role("deaf", (f"trap '' TERM; echo r > {ready}; while :; do sleep 0.05; done",), 0))
    until(watcher, ready.exists)
    (pid,) = watcher.pids()
    watcher.stop()
    assert start_time(pid) is None
    assert "deaf did not stop" in said[0]


def test_a_failed_preparation_says_its_reason(watcher: Supervisor) -> None:
    with pytest.raises(LocalError, match="migrate failed with status 1: no such database"):
        watcher.run("migrate", "echo no such database >&2; exit 1")


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


def test_roles_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, tmp_path], env=cli_environment(), stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert start_time(pid)
        parent.kill()
    deadline = time.monotonic() + 60
    while start_time(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert start_time(pid) is None
