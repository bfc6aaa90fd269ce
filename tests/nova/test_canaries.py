"""The secrets of every scenario are in no output: outbox, topics, store, API and logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from novaharness import canaries

FOLDERS = ("outbox", "topics", "store", "api", "logs")


def kinds_by_file_in(folder: Path) -> dict[str, set[str]]:
    """Return the kinds of canaries in every file below a folder, by the file's name; files without any are absent."""
    kinds_by_file = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (kinds := canaries.kinds_in(file.read_bytes())):
            kinds_by_file[str(file.relative_to(folder))] = kinds
    return kinds_by_file


@pytest.fixture
def evidence_folder(scenario_results: Callable[..., Any], shared_folder: Path) -> Path:
    """The evidence of the run with the one line in nova.conf."""
    scenario_results("default")
    return shared_folder / "default" / "evidence"


@pytest.mark.xdist_group("nova with the one line")
@pytest.mark.parametrize("name", FOLDERS)
def test_evidence_folder_contains_no_canary(name: str, evidence_folder: Path) -> None:
    files = [file for file in (evidence_folder / name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) > 500
    assert kinds_by_file_in(evidence_folder / name) == {}


@pytest.mark.xdist_group("nova with the one line")
def test_lines_of_stumble_in_novas_log_contain_no_canary(evidence_folder: Path) -> None:
    lines = [
        line for line in (evidence_folder / "nova.log").read_text(errors="replace").splitlines() if "stumble" in line
    ]
    assert canaries.kinds_in("\n".join(lines).encode()) == set()


@pytest.mark.xdist_group("nova with the one line")
def test_nova_passed_the_canaries_to_its_notification_drivers(evidence_folder: Path) -> None:
    """Without this, the absence of canaries would prove nothing."""
    kinds = set(json.loads((evidence_folder / "witness.json").read_text()))
    assert kinds >= {"token", "user_data", "metadata", "system_metadata", "injected_file"}


@pytest.mark.xdist_group("nova with the one line")
@pytest.mark.parametrize("name", FOLDERS)
def test_canary_written_into_a_file_is_detected(name: str, evidence_folder: Path, tmp_path: Path) -> None:
    """In a file of the folder, plain or in base64, in the middle of its bytes."""
    for number, secret in enumerate(("token", "user_data")):
        source = next(
            file for file in sorted((evidence_folder / name).rglob("*")) if file.is_file() and file.stat().st_size > 99
        )
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(source, folder / "planted")
        value = canaries.VALUES[secret]
        middle = (value if number == 0 else canaries.encoded(value)).encode()
        data = source.read_bytes()
        (folder / "planted").write_bytes(data[:50] + middle + data[50:])
        assert kinds_by_file_in(folder) == {"planted": {secret}}
