"""`stumble outbox`: its output as text and as JSON, and the exit status."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stumble.cli.root import run
from stumble.emitter import Emitter
from stumble.outbox import Envelope, OutboxRecord
from stumble.outbox.folders import outbox_folders
from stumble.relay.cursors import CursorFile, Progress
from stumble.relay.rejected import write_rejected


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Path]:
    emitter = Emitter(tmp_path, service="nova-compute", host="cmp1")
    for n in range(5):
        assert emitter.emit({"phase": "START", "action": "resize", "attributes": {"n": str(n)}})
    (tmp_path / "not ours").mkdir()
    yield tmp_path
    assert emitter.totals.accepted == 5  # a use of the emitter keeps it, and its lock on the folder, until here


def stumble(capsys: pytest.CaptureFixture[str], outbox: Path, *words: str) -> tuple[int, str, str]:
    status = run(["outbox", *words, "--outbox-dir", str(outbox)])
    out, err = capsys.readouterr()
    return status, out, err


def segment(outbox: Path) -> Path:
    (folder,) = outbox_folders(str(outbox))
    return next(Path(folder.path).glob("*.seg"))


def deliver(outbox: Path, count: int) -> None:
    """Set the relay's cursor behind the first `count` events."""
    from stumble.outbox import OutboxCursor, OutboxReader

    (folder,) = outbox_folders(str(outbox))
    reader = OutboxReader(folder.path)
    record = reader.read(OutboxCursor(1, 0), live=True).records[count]
    reader.close()
    (outbox / "relay").mkdir()
    cursors = CursorFile(outbox / "relay" / "cursors")
    cursors.load()
    cursors.save({folder.key: Progress(1, record.offset, sent=count)})
    cursors.close()


def test_ls_shows_unsent_events(capsys: pytest.CaptureFixture[str], outbox: Path) -> None:
    deliver(outbox, 2)
    status, out, _ = stumble(capsys, outbox, "ls", "--format", "json")
    (folder,) = json.loads(out)["folders"]
    shown = {name: folder[name] for name in ("service", "user", "alive", "unsent", "sent", "accepted", "refused")}
    assert (status, shown) == (
        0,
        {
            "service": "nova-compute",
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "alive": True,
            "unsent": 3,
            "sent": 2,
            "accepted": 5,
            "refused": 0,
        },
    )


@pytest.mark.parametrize("columns", ["80", "200"])
def test_ls_fits_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, outbox: Path, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    status, out, _ = stumble(capsys, outbox, "ls")
    assert status == 0
    assert "uid-" in out
    assert "alive" in out
    assert max(map(len, out.splitlines())) <= int(columns)


def test_ls_lists_rejected_events(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, outbox: Path
) -> None:
    (outbox / "relay").mkdir()
    record = OutboxRecord(16, 9, Envelope(b"12345678", 1, bytes(16), b"key"), b"body")
    write_rejected(outbox / "relay", "uid-0/x", 1, [(record, "Broker: Message size too large")])
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        _, out, _ = stumble(capsys, outbox, "ls")
        assert "Broker: Message" in out
        assert "00000000-0000-0000-0000-000000000000" in out
    _, out, _ = stumble(capsys, outbox, "export", "--rejected")
    assert json.loads(out)["body"] == "Ym9keQ=="


def test_ls_of_an_empty_and_of_a_missing_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert stumble(capsys, tmp_path, "ls")[:2] == (0, "No process has written events here.\n")
    status, _, err = stumble(capsys, tmp_path / "none", "ls")
    assert (status, err.count("\n")) == (1, 1)
    assert "--outbox-dir" in err


def test_verify_reports_sound_and_damaged_segments(capsys: pytest.CaptureFixture[str], outbox: Path) -> None:
    status, out, _ = stumble(capsys, outbox, "verify", "--format", "json")
    assert (status, json.loads(out)[0]["records"], json.loads(out)[0]["sound"]) == (0, 5, True)
    data = bytearray(segment(outbox).read_bytes())
    data[100] ^= 1
    segment(outbox).write_bytes(data)
    status, out, _ = stumble(capsys, outbox, "verify", "--format", "json")
    assert (status, json.loads(out)[0]["records"], json.loads(out)[0]["damaged"]) == (1, 4, 1)
    status, out, _ = stumble(capsys, outbox, "verify")
    assert (status, "damaged" in out) == (1, True)
    data[8] = 9
    segment(outbox).write_bytes(data)
    for command in ("verify", "ls", "export"):
        status, _, err = stumble(capsys, outbox, command)
        assert (status, err.count("\n"), "upgrade" in err) == (1, 1, True)


def test_folder_that_cannot_be_read_does_not_hide_the_others(capsys: pytest.CaptureFixture[str], outbox: Path) -> None:
    unsafe = segment(outbox).parent.parent / "other-1-aa"
    unsafe.mkdir()
    unsafe.chmod(0o777)
    for command, results in (("ls", "folders"), ("verify", None)):
        status, out, err = stumble(capsys, outbox, command, "--format", "json")
        shown = json.loads(out)
        assert len(shown[results] if results else shown) == 1
        assert (status, err.count("\n"), "other-1-aa cannot be read" in err) == (1, 1, True)
    status, out, err = stumble(capsys, outbox, "export")
    assert (status, out.count("\n"), err.count("\n")) == (1, 5, 1)


def test_export_prints_unsent_events_or_all(capsys: pytest.CaptureFixture[str], outbox: Path) -> None:
    deliver(outbox, 2)

    def exported(*words: str) -> list[Any]:
        status, out, _ = stumble(capsys, outbox, "export", *words)
        assert status == 0
        return [json.loads(line)["event"]["attributes"]["n"] for line in out.splitlines()]

    assert exported() == ["2", "3", "4"]
    assert exported("--all") == ["0", "1", "2", "3", "4"]
    (folder,) = outbox_folders(str(outbox))
    assert exported(folder.name) == exported(folder.key) == ["2", "3", "4"]
    status, _, err = stumble(capsys, outbox, "export", "nobody")
    assert (status, "outbox ls" in err) == (1, True)


def test_export_shows_the_id_of_an_event_of_unknown_schema(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from stumble.outbox import OutboxWriter, pack_record

    writer = OutboxWriter(tmp_path)
    assert writer.append(pack_record(Envelope(b"unknown!", 1, bytes(15) + b"\7", b"k"), b"body"), is_failure=False)
    _, out, _ = stumble(capsys, tmp_path, "export")
    row = json.loads(out)
    assert row["event"] == {"event_id": "00000000-0000-0000-0000-000000000007"}
    assert "unknown schema" in row["error"]
