"""Installations of the wheel: with the base dependencies only, and with one extra."""

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


def run_successfully(*command: str | Path) -> str:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run_successfully(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


def install(folder: Path, requirement: str) -> Path:
    run_successfully(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run_successfully(
        python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", ROOT / "constraints.txt", requirement
    )
    run_successfully(python, "-m", "pip", "check")
    return python


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("base") / "venv", str(wheel))


@pytest.fixture(scope="module")
def relay(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("relay") / "venv", f"stumble[relay] @ {wheel.as_uri()}")


def test_base_installs_only_fastavro(base: Path) -> None:
    listed = run_successfully(
        base, "-m", "pip", "list", "--format", "freeze", "--exclude", "pip", "--exclude", "setuptools"
    )
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
def test_base_can_import_the_library(base: Path, module: str) -> None:
    run_successfully(base, "-c", f"import {module}")


def test_base_has_the_entry_points_of_the_driver(base: Path) -> None:
    code = (
        "from importlib.metadata import entry_points as e; "
        "print(*(p.value for g in ('oslo.messaging.notify.drivers', 'oslo.config.opts') for p in e(group=g)))"
    )
    targets = run_successfully(base, "-c", code).split()
    assert len(targets) == 2
    for target in targets:
        run_successfully(base, "-c", f"import importlib.util as u; assert u.find_spec({target.partition(':')[0]!r})")


def test_command_on_base_names_the_extra_to_install(base: Path) -> None:
    done = run(base.with_name("stumble"), "relay")
    assert done.returncode == 1
    assert done.stderr == (
        "stumble: `stumble relay` needs typer, which is not installed here; "
        "install it with: pip install 'stumble[relay]'\n"
    )


def test_wheel_contains_the_schemas(base: Path) -> None:
    code = "import stumble.wire.schemas as s; print(len(s.ALL))"
    assert int(run_successfully(base, "-c", code)) >= 4


@pytest.mark.parametrize("command", ["relay", "outbox"])
def test_relay_extra_provides_its_commands(relay: Path, command: str) -> None:
    assert "Usage: stumble" in run_successfully(relay.with_name("stumble"), command, "--help")


def test_command_of_another_extra_names_it(relay: Path) -> None:
    done = run(relay.with_name("stumble"), "projector")
    assert done.returncode == 1
    assert "pip install 'stumble[consumers]'" in done.stderr
