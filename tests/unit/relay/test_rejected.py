"""Rejected records are stored completely, once each, within a size limit."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from stumble.outbox import Damage, Envelope, OutboxRecord
from stumble.relay import rejected

RECORD = OutboxRecord(16, 60, Envelope(b"12345678", 17, bytes(16), b"key"), b"\x00body\xff")


def test_rejected_row_has_all_fields_and_the_original_bytes(tmp_path: Path) -> None:
    assert rejected.write_rejected(tmp_path, "uid-0/a", 3, [(RECORD, "too large")]) == 1
    (row,) = rejected.read_rejected(tmp_path)
    assert (row["folder"], row["segment"], row["offset"], row["reason"]) == ("uid-0/a", 3, 16, "too large")
    assert row["event_id"] == "00000000-0000-0000-0000-000000000000"
    assert base64.b64decode(row["body"]) == RECORD.body


def test_torn_line_is_skipped_and_a_repeated_record_counts_once(tmp_path: Path) -> None:
    rejected.write_rejected(tmp_path, "a", 1, [(RECORD, "x")])
    path = tmp_path / rejected.FILE
    path.write_bytes(path.read_bytes() + json.dumps({"folder": "torn"}).encode()[:9])
    rejected.write_rejected(tmp_path, "a", 1, [(RECORD, "x")])
    rejected.write_rejected(tmp_path, "a", 2, [(RECORD, "x")])
    assert [row["segment"] for row in rejected.read_rejected(tmp_path)] == [1, 2]


def test_write_beyond_the_size_limit_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejected, "MOST_BYTES", 100)
    rejected.write_rejected(tmp_path, "a", 1, [(RECORD, "x")])
    with pytest.raises(OSError, match="is full"):
        rejected.write_rejected(tmp_path, "a", 2, [(RECORD, "x")])


def test_quarantine_keeps_the_damaged_bytes(tmp_path: Path) -> None:
    assert rejected.quarantine(tmp_path, "uid-0/a", [Damage(1, 16, b"xyz"), Damage(2, 0, b"")]) == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "quarantine").iterdir()} == {
        "uid-0.a.00000001.16.bin": b"xyz",
        "uid-0.a.00000002.0.bin": b"",
    }


def test_missing_file_has_no_rejected_records(tmp_path: Path) -> None:
    assert list(rejected.read_rejected(tmp_path)) == []
