"""The wheel as a stranger installs it: base dependencies alone, and one extra at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.services import ROOT

pytestmark = pytest.mark.xdist_group("wheel")


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def must(*command: str | Path) -> str:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    must(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


def install(folder: Path, requirement: str) -> Path:
    must(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    must(
        python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", ROOT / "constraints.txt", requirement
    )
    must(python, "-m", "pip", "check")
    return python


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("base") / "venv", str(wheel))


@pytest.fixture(scope="module")
def relay(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("relay") / "venv", f"stumble[relay] @ {wheel.as_uri()}")


def test_base_brings_fastavro_alone(base: Path) -> None:
    listed = must(base, "-m", "pip", "list", "--format", "freeze", "--exclude", "pip", "--exclude", "setuptools")
    assert {line.partition("==")[0].partition(" ")[0] for line in listed.splitlines()} == {"stumble", "fastavro"}


@pytest.mark.parametrize(
    "module",
    [
        "stumble.wire.codec",
        "stumble.emitter",
        "stumble.outbox",
        "stumble.translate",
    ],
)
def test_base_gives_the_library(base: Path, module: str) -> None:
    must(base, "-c", f"import {module}")


def test_base_gives_the_driver_its_entry_points(base: Path) -> None:
    code = (
        "from importlib.metadata import entry_points as e; "
        "print(*(p.value for g in ('oslo.messaging.notify.drivers', 'oslo.config.opts') for p in e(group=g)))"
    )
    targets = must(base, "-c", code).split()
    assert len(targets) == 2
    for target in targets:
        must(base, "-c", f"import importlib.util as u; assert u.find_spec({target.partition(':')[0]!r})")


def test_base_says_what_a_command_needs(base: Path) -> None:
    done = run(base.with_name("stumble"), "relay")
    assert done.returncode == 1
    assert done.stderr == (
        "stumble: `stumble relay` needs typer, which isn't installed here; "
        "install it with: pip install 'stumble[relay]'\n"
    )


def test_the_wheel_carries_its_data(base: Path) -> None:
    code = "import stumble.wire.schemas as s; print(len(s.ALL))"
    assert int(must(base, "-c", code)) >= 4


@pytest.mark.parametrize("command", ["relay", "outbox"])
def test_relay_extra_gives_its_commands(relay: Path, command: str) -> None:
    assert "Usage: stumble" in must(relay.with_name("stumble"), command, "--help")


def test_another_extra_is_asked_for(relay: Path) -> None:
    done = run(relay.with_name("stumble"), "projector")
    assert done.returncode == 1
    assert "pip install 'stumble[consumers]'" in done.stderr
