"""stumble's base install inside Nova's own environment: its packages, requirements and options."""

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
    """Return the requirements of a lock file without their hashes."""
    return [Requirement(line.rstrip(" \\")) for line in lock.read_text().splitlines() if line[:1] not in {"#", " "}]


def run(python: Path, *arguments: str, program: str = "python") -> str:
    """Run a program of the environment and return its output."""
    done = subprocess.run(
        [str(python.with_name(program)), *arguments], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_pip_check_reports_no_broken_requirements(nova_python: Path) -> None:
    assert "No broken requirements found" in run(nova_python, "-m", "pip", "check")


def test_installed_versions_equal_the_lock(nova_python: Path) -> None:
    version = run(nova_python, "-c", "import importlib.metadata as m; print(m.version('nova'))").strip()
    locked = locked_requirements(LOCKS / f"nova-{version}.txt")
    expected = {f"{item.name}{item.specifier}" for item in locked if item.marker is None or item.marker.evaluate()}
    installed = run(nova_python, "-m", "pip", "list", "--format=freeze", "--exclude", "stumble", "--exclude", "pip")
    pins = (line.partition("==") for line in installed.splitlines())
    assert {f"{canonicalize_name(name)}=={version}" for name, _, version in pins} == expected


def test_lock_is_complete_on_every_supported_python() -> None:
    """A venv of Python 3.12 or later has no setuptools, which pbr needs; 3.13 has no cgi, which webob needs."""
    for lock in LOCKS.glob("*.txt"):
        requirements: dict[str, Requirement] = {
            canonicalize_name(item.name): item for item in locked_requirements(lock)
        }
        assert requirements["setuptools"].marker is None, lock.name
        marker = requirements["legacy-cgi"].marker
        assert marker, lock.name
        assert [marker.evaluate({"python_full_version": version}) for version in ("3.12.0", "3.13.0")] == [False, True]


def test_config_generator_shows_every_option_with_its_help(nova_python: Path) -> None:
    shown = run(nova_python, "--namespace", "stumble", program="oslo-config-generator")
    assert "[stumble]" in shown
    for option in OPTIONS:
        lines = shown.splitlines()
        line_number = next((n for n, line in enumerate(lines) if line.startswith(f"#{option} =")), None)
        assert line_number is not None, f"{option} is missing"
        assert len(lines[line_number - 1]) > 5, f"{option} has no help"


def test_driver_loads_neither_a_kafka_client_nor_pydantic(nova_python: Path) -> None:
    code = (
        "import sys; import stumble.nova.driver; "
        "print([m for m in sys.modules if m.split('.')[0] in ('confluent_kafka', 'pydantic', 'pydantic_core')])"
    )
    assert run(nova_python, "-c", code).strip() == "[]"


def test_driver_requires_only_fastavro_besides_novas_packages(nova_python: Path) -> None:
    code = (
        "import importlib.metadata as m; "
        "print([r for r in m.requires('stumble') if 'extra ==' not in r.replace(';', '; ')])"
    )
    assert [requirement.split(">")[0] for requirement in eval(run(nova_python, "-c", code))] == ["fastavro"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nova", "1.0.0"], "There is no lock file for Nova 1.0.0: choose one of 31.3.1, 33.0.2, 34.0.0."),
    ],
)
def test_unknown_release_is_reported_in_one_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--venv", str(tmp_path / "venv"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"nova: {message}\n")


def test_unreachable_package_index_error_names_the_options_to_set(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--venv", str(tmp_path / "venv")]
    environment = {
        "PATH": "/usr/bin:/bin",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert "Cannot reach the Python package index: set HTTPS_PROXY, or PIP_INDEX_URL" in done.stderr
    assert "Traceback" not in done.stderr
