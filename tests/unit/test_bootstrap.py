"""What a newcomer's machine may lack is said in one sentence with the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.services import ROOT


@pytest.fixture
def bootstrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "LOG", tmp_path / "log")
    return module


def test_an_unsupported_python_is_refused(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 10, 13))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("STUMBLE_MAKE_TARGET", "test")
    with pytest.raises(bootstrap.Unable, match=r"this one is 3\.10; install one .*: make PYTHON=python3\.11 test"):
        bootstrap.find_python()


def test_a_supported_one_on_the_path_is_taken(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / name).symlink_to(sys.executable)
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 14, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.find_python() == str(tmp_path / name)


def test_a_python_without_ensurepip(bootstrap: ModuleType, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with pytest.raises(bootstrap.Unable, match=r"sudo apt-get install python3\.\d+-venv"):
        bootstrap.make_venv(str(python))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "WARNING: Retrying ... ProxyError('Cannot connect to proxy.')\nERROR: No matching distribution",
            "HTTPS_PROXY=",
        ),
        ("NewConnectionError: [Errno -3] Temporary failure in name resolution", "PIP_INDEX_URL="),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "PIP_CERT="),
        ("OSError: [Errno 28] No space left on device", "free about 1 GB"),
        ("Collecting x\nERROR: something of its own\nhint: y", "something of its own"),
    ],
)
def test_failures_of_pip_in_one_sentence(bootstrap: ModuleType, output: str, words: str) -> None:
    sentence = bootstrap.reason(output, "pip install")
    assert words in sentence
    assert "\n" not in sentence


def test_an_unreachable_index_from_end_to_end(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt", "scripts/bootstrap.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1", "PIP_CONFIG_FILE": "/dev/null"}
    done = subprocess.run(
        [sys.executable, "scripts/bootstrap.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("stumble: the package index can't be reached; ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / ".venv" / "stumble.stamp").exists()
