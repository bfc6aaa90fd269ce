"""Kafka's class archive: listed by the first run, made beside the second, used from the third on."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from stumble.local import archive as module
from stumble.local.archive import ClassArchive

JAVA = """#!/bin/sh
for word; do case "$word" in -XX:SharedArchiveFile=*) echo archive > "${word#*=}";; esac; done
exit ${EXIT:-0}
"""


@pytest.fixture
def make(tmp_path: Path):
    program = tmp_path / "java"
    program.write_text(JAVA)
    program.chmod(0o755)
    jar = tmp_path / "a.jar"
    jar.write_text("jar")
    return lambda: ClassArchive(tmp_path, tmp_path / "state", program, [jar], ["-XX:+Fast"])


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DELAY", 0.0)
    (tmp_path / "state").mkdir()


def written(options: list[str], name: str) -> Path:
    (option,) = [option for option in options if option.startswith(f"-XX:{name}=")]
    return Path(option.partition("=")[2])


def listed(make) -> None:
    first = make()
    written(first.java_options(), "DumpLoadedClassList").write_text("classes")
    first.settle(clean=True)


def made(archive: ClassArchive) -> None:
    deadline = time.monotonic() + 120  # its maker is the nicest of all processes
    while archive._maker.exit_status is None and time.monotonic() < deadline:
        time.sleep(0.02)
    archive.settle(clean=True)


def test_third_run_is_quick(make) -> None:
    listed(make)
    second = make()
    assert second.java_options() == []
    made(second)
    assert written(make().java_options(), "SharedArchiveFile").read_text() == "archive\n"


def test_a_killed_run_leaves_no_list(make, tmp_path: Path) -> None:
    first = make()
    written(first.java_options(), "DumpLoadedClassList").write_text("half of the cl")
    first.settle(clean=False)
    assert list(tmp_path.glob("classes-*")) == []


def test_a_failed_archive_is_tried_again(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(make)
    monkeypatch.setenv("EXIT", "1")
    second = make()
    second.java_options()
    made(second)
    assert [path.suffix for path in tmp_path.glob("classes-*")] == [".list"]
    third = make()
    assert third.java_options() == []
    third.settle(clean=True)


def test_only_one_makes_it(make, tmp_path: Path) -> None:
    listed(make)
    with next(tmp_path.glob("*.list")).open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        archive = make()
        assert archive.java_options() == []
        assert archive._maker.pid is None
        archive.settle(clean=True)


def test_the_unused_are_forgotten(make, tmp_path: Path) -> None:
    listed(make)
    old = tmp_path / "classes-0123.jsa"
    old.touch()
    os.utime(old, (0, 0))
    archive = make()
    archive.java_options()
    made(archive)
    assert not old.exists()
