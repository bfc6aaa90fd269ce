"""`stumble run` (`make run`): all roles start, data are kept, and no processes are left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stumble.local.process import start_time
from tests.support.services import cli_environment

pytestmark = pytest.mark.xdist_group("run")
READY = "Ctrl-C stops everything"


class Run:
    """A started ``stumble run`` whose output goes to a file."""

    def __init__(self, state: Path, *arguments: str, **environment: str) -> None:
        self.state = state
        self.output = state.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stumble.cli", "run", "--state", state, *arguments],
                env=cli_environment(**environment),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def children(self) -> dict[str, tuple[int, int]]:
        """Return pid and start time of each child by name; a child that is being started is missing."""
        children = {}
        for path in self.state.glob("*.pid"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                pid, started = path.read_text().split()
                children[path.stem] = (int(pid), int(started))
        return children

    def until(self, words: str, timeout: float = 120.0) -> None:
        deadline = time.monotonic() + timeout
        while not re.search(words, self.text()):
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.text()}"
            time.sleep(0.1)

    def get(self, path: str) -> dict:
        url = re.search(r"http://127\.0\.0\.1:\d+", self.text())
        assert url
        with urllib.request.urlopen(url[0] + path, timeout=60) as reply:
            return json.load(reply)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(120)


def still_running(children: dict[str, tuple[int, int]], timeout: float = 60.0) -> list[str]:
    """Return the names of the children that still run after at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        running = [name for name, (pid, started) in children.items() if start_time(pid) == started]
        if not running or time.monotonic() > deadline:
            return running
        time.sleep(0.1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "it's a state é"


@contextlib.contextmanager
def running(state: Path, *arguments: str, **environment: str) -> Iterator[Run]:
    run = Run(state, *arguments, **environment)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def test_run_starts_all_roles_and_keeps_its_data(state: Path) -> None:
    with running(state, "--instances", "20", "--rate", "20", "--seed", "3") as run:
        run.until(READY)
        deadline = time.monotonic() + 60
        while not run.get("/v1/failures")["items"]:
            assert time.monotonic() < deadline, run.text()
            time.sleep(0.2)
        first = {item["failure_id"] for item in run.get("/v1/failures?limit=5")["items"]}
        line = re.search(r"In another terminal:  (.+); stumble --help", run.text())
        assert line
        result = subprocess.run(
            ["sh", "-c", f'{line[1]} && echo "$STUMBLE_STATE_DIR"'], capture_output=True, text=True, check=True
        )
        assert result.stdout == f"{state}\n"
        children = run.children()
        assert {"kafka", "postgres", "relay", "projector", "alerter", "api", "simulate", "failures"} <= set(children)
        assert run.stop() == 0
        assert still_running(children) == []
        assert "Traceback" not in run.text()
    with running(state, "--no-simulate", "--no-follow") as second:
        second.until(READY)
        stored = {item["failure_id"] for item in second.get("/v1/failures?limit=500")["items"]}
        assert first <= stored
        assert second.stop(signal.SIGTERM) == 0


def test_killed_role_is_restarted(state: Path) -> None:
    with running(state, "--rate", "5") as run:
        run.until(READY)
        before = run.children()["projector"]
        os.kill(before[0], signal.SIGKILL)
        run.until("projector was killed by signal 9.*starting it again in 1 s")
        deadline = time.monotonic() + 60
        while run.children().get("projector", before) == before:
            assert time.monotonic() < deadline, run.text()
            time.sleep(0.1)
        assert run.stop() == 0


def test_no_child_survives_a_killed_run(state: Path) -> None:
    with running(state) as run:
        run.until(READY)
        children = run.children()
        run.process.kill()
        run.process.wait()
        assert still_running(children) == []


def test_failed_start_leaves_no_children(state: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:9/none"
    with running(state, STUMBLE_DATABASE_URL=url) as run:
        assert run.process.wait(120) == 1
        last = run.text().splitlines()[-1]
        assert last.startswith("stumble: ")
        assert "STUMBLE_DATABASE_URL" in last
        assert "Traceback" not in run.text()
        assert run.children() == {}


def test_run_interrupted_during_its_start_leaves_no_children(state: Path) -> None:
    with running(state) as run:
        run.until("Creating or migrating the tables")
        children = run.children()
        assert run.stop() == 0
        assert still_running(children) == []


def test_second_run_with_the_same_state_is_refused(state: Path) -> None:
    with running(state) as run:
        run.until("Creating the topics")
        second = subprocess.run(
            [sys.executable, "-m", "stumble.cli", "run", "--state", state],
            env=cli_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 1
        assert f"already runs with its state in {state} (pid {run.process.pid})" in second.stderr
        assert run.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("size=20m", r"has 2\d MB free, and stumble needs 300 MB to start"),
        ("size=1g,noexec", "is mounted noexec, and Kafka loads native libraries from there"),
    ],
)
def test_unsuitable_disk_is_refused_before_anything_starts(tmp_path: Path, options: str, sentence: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    run = f"{sys.executable} -m stumble.cli run --state {disk}/state"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs -o {options} none {disk} && {run}"],
        env=cli_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"stumble: the disk of {disk}/state {sentence}; .*make run STATE=…\n", done.stderr)


def test_given_kafka_and_database_are_used(state: Path, kafka: str, database_url: str) -> None:
    settings = {"STUMBLE_KAFKA__BOOTSTRAP_SERVERS": kafka, "STUMBLE_DATABASE_URL": database_url}
    settings |= {"STUMBLE_KAFKA__TOPIC_PREFIX": "given.", "STUMBLE_PROJECTOR_GROUP": "given.projector"}
    with running(state, "--rate", "20", **settings) as run:
        run.until(READY)
        assert not {"kafka", "postgres"} & set(run.children())
        assert run.stop() == 0
