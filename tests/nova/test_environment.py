"""stumble's base install inside Nova's own environment: what it brings, needs, and offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.nova.conftest import ROOT

LOCKS = ROOT / "tests" / "nova" / "locks"
OPTIONS = ("outbox_dir", "durability", "tap", "tracebacks", "labels", "cell", "region")


def locked_requirements(lock: Path) -> list[Requirement]:
    return [Requirement(line) for line in lock.read_text().splitlines() if not line.startswith("#")]


def run(python: Path, *arguments: str, program: str = "python") -> str:
    """Run a program of the environment and return its output."""
    done = subprocess.run(
        [str(python.with_name(program)), *arguments], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_pip_check_is_clean(nova_python: Path) -> None:
    assert "No broken requirements found" in run(nova_python, "-m", "pip", "check")


def test_nova_s_versions_stay_as_locked(nova_python: Path) -> None:
    version = run(nova_python, "-c", "import importlib.metadata as m; print(m.version('nova'))").strip()
    locked = locked_requirements(LOCKS / f"nova-{version}.txt")
    wanted = {f"{item.name}{item.specifier}" for item in locked if item.marker is None or item.marker.evaluate()}
    listed = run(nova_python, "-m", "pip", "list", "--format=freeze", "--exclude", "stumble", "--exclude", "pip")
    assert set(listed.splitlines()) == wanted


def test_a_lock_is_complete_on_every_supported_python() -> None:
    """A venv of Python 3.12 or later has no setuptools, which pbr needs; 3.13 has no cgi, which webob needs."""
    for lock in LOCKS.glob("*.txt"):
        needed = {canonicalize_name(item.name): item for item in locked_requirements(lock)}
        assert needed["setuptools"].marker is None, lock.name
        marker = needed["legacy-cgi"].marker
        assert marker, lock.name
        assert [marker.evaluate({"python_version": version}) for version in ("3.12", "3.13")] == [False, True]


def test_the_config_generator_shows_every_option_with_its_help(nova_python: Path) -> None:
    shown = run(nova_python, "--namespace", "stumble", program="oslo-config-generator")
    assert "[stumble]" in shown
    for option in OPTIONS:
        lines = shown.splitlines()
        place = next((n for n, line in enumerate(lines) if line.startswith(f"#{option} =")), None)
        assert place is not None, f"{option} is not offered"
        assert len(lines[place - 1]) > 5, f"{option} has no help"


def test_the_driver_loads_neither_a_kafka_client_nor_pydantic(nova_python: Path) -> None:
    code = (
        "import sys; import stumble.nova.driver; "
        "print([m for m in sys.modules if m.split('.')[0] in ('confluent_kafka', 'pydantic', 'pydantic_core')])"
    )
    assert run(nova_python, "-c", code).strip() == "[]"


def test_the_driver_has_no_third_party_need_but_fastavro_and_what_nova_has(nova_python: Path) -> None:
    code = (
        "import importlib.metadata as m; "
        "print([r for r in m.requires('stumble') if 'extra ==' not in r.replace(';', '; ')])"
    )
    assert [need.split(">")[0] for need in eval(run(nova_python, "-c", code))] == ["fastavro"]


def test_every_lock_names_exact_versions_and_no_host() -> None:
    for lock in LOCKS.glob("*.txt"):
        for line in lock.read_text().splitlines():
            assert line.startswith("#") or ("==" in line and "://" not in line and "@" not in line), line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nova", "1.0.0"], "There is no lock file for Nova 1.0.0: choose one of 31.3.1, 33.0.2, 34.0.0."),
    ],
)
def test_what_can_not_be_made_is_said_in_one_sentence(arguments: list[str], says: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--venv", str(tmp_path / "venv"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"nova: {says}\n")


def test_an_unreachable_package_source_names_what_mends_it(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--venv", str(tmp_path / "venv")]
    nowhere = {
        "PATH": "/usr/bin:/bin",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=nowhere)
    assert done.returncode == 1
    assert "can't be reached: set HTTPS_PROXY, or PIP_INDEX_URL" in done.stderr
    assert "Traceback" not in done.stderr
