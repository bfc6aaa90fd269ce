"""The cursor file: after any damage it holds the last or the previous state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stumble.relay.cursors import CursorFile, Progress, read_cursors

A, B = {"uid-0/a": Progress(1, 16, 5)}, {"uid-0/a": Progress(2, 99, 7), "uid-0/b": Progress(1, 0, 0, host="h")}


def test_last_save_is_loaded_and_a_missing_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "cursors"
    assert read_cursors(path) == {}
    file = CursorFile(path)
    assert file.load() == {}
    file.save(A)
    file.save(B)
    file.close()
    assert read_cursors(path) == CursorFile(path).load() == B


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 400))
def test_torn_save_leaves_the_previous_state(tmp_path_factory: pytest.TempPathFactory, byte_count: int) -> None:
    path = tmp_path_factory.mktemp("c") / "cursors"
    file = CursorFile(path)
    file.load()
    file.save(A)
    before = path.read_bytes()
    file.save(B)
    file.close()
    after = path.read_bytes()
    changed = [n for n in range(len(after)) if before[n] != after[n]]
    torn = bytearray(before)
    for n in changed[: min(byte_count, len(changed) - 1)]:
        torn[n] = after[n]
    path.write_bytes(torn)
    assert read_cursors(path) == A


def test_many_folders_grow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cursors"
    file = CursorFile(path)
    file.load()
    file.save(A)
    many = {f"uid-42436/nova-api-wsgi-{n}-{os.urandom(4).hex()}": Progress(n, n, n) for n in range(4000)}
    file.save(many)
    assert read_cursors(path) == many
    file.save(A)
    file.save(many)
    file.close()
    assert CursorFile(path).load() == many


def test_invalid_file_is_loaded_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "cursors"
    path.write_bytes(os.urandom(300_000))
    assert CursorFile(path).load() == {}
