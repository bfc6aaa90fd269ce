"""Secrets that every scenario carries are found nowhere: outbox, topics, store, logs, API, whatever Nova was told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from novaharness import canaries

PLACES = ("outbox", "topics", "store", "api", "logs")


def found_in(folder: Path) -> dict[str, set[str]]:
    """Return the canaries in every file below a folder, by the file's name; nothing where there are none."""
    hits = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and (seen := canaries.seen_in(file.read_bytes())):
            hits[str(file.relative_to(folder))] = seen
    return hits


@pytest.fixture
def kept(told: Callable[..., Any], shared_folder: Path) -> Path:
    """The folder of all that the run with the one line in nova.conf left behind."""
    told("default")
    return shared_folder / "default" / "evidence"


@pytest.mark.xdist_group("nova with the one line")
@pytest.mark.parametrize("place", PLACES)
def test_no_canary_in(place: str, kept: Path) -> None:
    files = [file for file in (kept / place).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) > 500
    assert found_in(kept / place) == {}


@pytest.mark.xdist_group("nova with the one line")
def test_what_stumble_says_in_nova_s_log_names_none(kept: Path) -> None:
    lines = [line for line in (kept / "nova.log").read_text(errors="replace").splitlines() if "stumble" in line]
    assert canaries.seen_in("\n".join(lines).encode()) == set()


@pytest.mark.xdist_group("nova with the one line")
def test_nova_did_hand_them_to_its_drivers(kept: Path) -> None:
    """Else finding none would prove nothing."""
    seen = set(json.loads((kept / "witness.json").read_text()))
    assert seen >= {"token", "user_data", "metadata", "system_metadata", "injected_file"}


@pytest.mark.xdist_group("nova with the one line")
@pytest.mark.parametrize("place", PLACES)
def test_one_that_is_planted_is_found(place: str, kept: Path, tmp_path: Path) -> None:
    """In any file there, as it is or in base64, in the middle of its bytes."""
    for number, secret in enumerate(("token", "user_data")):
        source = next(file for file in sorted((kept / place).rglob("*")) if file.is_file() and file.stat().st_size > 99)
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(source, folder / "planted")
        value = canaries.VALUES[secret]
        middle = (value if number == 0 else canaries.encoded(value)).encode()
        data = source.read_bytes()
        (folder / "planted").write_bytes(data[:50] + middle + data[50:])
        assert found_in(folder) == {"planted": {secret}}
