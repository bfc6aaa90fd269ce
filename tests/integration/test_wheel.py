"""What `make wheel` writes: the wheel, its bill of materials, and installations from it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stumble.cli.commands import COMMANDS
from stumble.local.jars import locked_jars
from tests.support.services import ROOT

pytestmark = pytest.mark.xdist_group("wheel")


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def run_successfully(*command: str | Path) -> str:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path) -> Path:
    run_successfully(sys.executable, ROOT / "scripts" / "build_wheel.py", "--folder", folder)
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make wheel` writes."""
    return build(tmp_path_factory.mktemp("dist"))


def create_venv(folder: Path) -> Path:
    run_successfully(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def pip_install(python: Path, *arguments: str | Path) -> tuple[str | Path, ...]:
    return (python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *arguments)


def install(folder: Path, requirements: Path) -> Path:
    python = create_venv(folder)
    run_successfully(*pip_install(python, "-r", requirements))
    run_successfully(python, "-m", "pip", "check")
    return python


@pytest.fixture(scope="module")
def base(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("base") / "venv", dist / "driver.txt")


@pytest.fixture(scope="module")
def relay(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("relay") / "venv", dist / "relay.txt")


def test_wheel_that_was_changed_is_not_installed(dist: Path, tmp_path: Path) -> None:
    for path in dist.iterdir():
        shutil.copy(path, tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("stumble/added.py", "")
    done = run(*pip_install(create_venv(tmp_path / "venv"), "-r", tmp_path / "driver.txt"))
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert list((tmp_path / "venv").rglob("added.py")) == []


def test_same_files_give_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    """The umask of the clone, the times of its files and its folder have no effect."""
    clone = tmp_path / "a clone"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, clone / name)
    for name in ("schemas", "producers", "consumers", "deploy"):
        shutil.copytree(ROOT / name, clone / name)
    for path in clone.rglob("*"):
        path.chmod(0o700 if path.is_dir() or os.access(path, os.X_OK) else 0o600)
        os.utime(path, (10**9, 10**9))
    run_successfully(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, clone)
    assert [path.read_bytes() for path in tmp_path.glob("*.whl")] == [path.read_bytes() for path in dist.glob("*.whl")]


def test_bill_of_materials_has_the_wheel_every_library_and_every_jar(dist: Path) -> None:
    (wheel,), (bill,) = dist.glob("*.whl"), dist.glob("*.cdx.json")
    document = json.loads(bill.read_text())
    product = document["metadata"]["component"]
    assert (document["bomFormat"], document["specVersion"], product["name"]) == ("CycloneDX", "1.6", "stumble")
    assert product["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    found = {item["purl"]: {digest["content"] for digest in item["hashes"]} for item in document["components"]}
    for lock in [path for path in (ROOT / "requirements").glob("*.txt") if path.stem != "build"]:
        for name, version, hashes in re.findall(
            r"^([\w-]+)==(\S+)(.*(?:\n +--hash.*)+)", lock.read_text(), re.MULTILINE
        ):
            assert found[f"pkg:pypi/{name}@{version}"] == set(re.findall(r"[0-9a-f]{64}", hashes))
    assert found["pkg:maven/org.apache.kafka/kafka-clients@4.4.0"]
    for lock in (ROOT / "deploy/stumble/local").glob("*.lock"):
        for jar in locked_jars(lock):
            assert {jar.sha256} in found.values()
    assert len({item["bom-ref"] for item in document["components"]}) == len(document["components"])


def test_requirement_files_for_every_extra_of_the_wheel_are_beside_it(dist: Path) -> None:
    extras = {command.extra for command in COMMANDS}
    assert {path.stem for path in dist.glob("*.txt")} == extras | {"driver"}


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
        "stumble: `stumble relay` needs typer, which is not installed here; install what relay.txt names, "
        "a file beside stumble's wheel: pip install -r relay.txt\n"
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
    assert "pip install -r consumers.txt" in done.stderr
