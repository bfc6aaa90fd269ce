"""Rejected events are written to the outbox again, unchanged, if the configuration allows them now."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from stumble.cli.root import run
from stumble.emitter import Emitter
from stumble.outbox import OutboxCursor, OutboxReader, OutboxRecord
from stumble.outbox.folders import outbox_folders
from stumble.relay.rejected import FILE, read_rejected, write_rejected

UID = os.geteuid()
OTHER_UID = UID + 1
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def records(outbox: Path, service: str) -> list[OutboxRecord]:
    """Return the records in the folders of a service."""
    result = []
    for folder in outbox_folders(str(outbox)):
        if folder.name.startswith(service):
            reader = OutboxReader(folder.path)
            result += reader.read(OutboxCursor(1, 0), live=True).records
            reader.close()
    return result


def reject(outbox: Path, *hosts: str, uid: int = UID) -> list[OutboxRecord]:
    """Store an event of each host as the relay stores events that it rejects, and return them."""
    emitter = Emitter(outbox.parent / f"of-{uid}", service="nova-compute", host="cmp1")
    for host in hosts:
        failure = {"exception": "NoValidHost"} if host == hosts[0] else None
        emitter.emit({"phase": "END", "action": "resize", "host": host, "failure": failure}, traceparent=TRACE)
    (outbox / "relay").mkdir(parents=True, exist_ok=True)
    rejected = records(outbox.parent / f"of-{uid}", "nova-compute")
    assert len(rejected) == len(hosts)
    write_rejected(outbox / "relay", f"uid-{uid}/nova-compute-1-a", 1, [(one, "the relay: no") for one in rejected])
    return rejected


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {"HOSTS": "cmp1,cmp2", "USERS": f"{UID},{OTHER_UID}"}.items():
        monkeypatch.setenv(f"STUMBLE_RELAY_{name}", value)
    (tmp_path / "outbox").mkdir()
    return tmp_path / "outbox"


def resend(capsys: pytest.CaptureFixture[str], outbox: Path) -> tuple[int, str]:
    status = run(["outbox", "resend", "--outbox-dir", str(outbox)])
    out, err = capsys.readouterr()
    return status, " ".join((out + err).split())


def contents(found: list[OutboxRecord]) -> list[Any]:
    return [(record.envelope, record.body) for record in found]


def test_allowed_events_are_written_unchanged(capsys: pytest.CaptureFixture[str], outbox: Path) -> None:
    rejected = reject(outbox, "cmp1", "cmp2")
    assert resend(capsys, outbox) == (0, "2 events are in the outbox again.")
    assert contents(records(outbox, "stumble-resend")) == contents(rejected)
    assert len(list(read_rejected(outbox / "relay"))) == 2


def test_event_of_a_host_that_is_not_allowed_is_not_written(capsys: pytest.CaptureFixture[str], outbox: Path) -> None:
    reject(outbox, "cmp1", "cmp3")
    status, text = resend(capsys, outbox)
    assert (status, "1 events are not: `hosts` in [relay] does not allow its host" in text) == (1, True)
    assert len(records(outbox, "stumble-resend")) == 1


def test_user_of_a_bridge_does_not_write_events_of_other_users(
    capsys: pytest.CaptureFixture[str], outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUMBLE_RELAY_BRIDGE_USERS", str(UID))
    reject(outbox, "cmp3", "cmp1", uid=OTHER_UID)
    status, text = resend(capsys, outbox)
    assert (status, "0 events are in the outbox again" in text, "user that is not in" in text) == (1, True, True)
    assert records(outbox, "stumble-resend") == []


def test_event_of_a_bridge_is_written_by_a_user_of_a_bridge_only(
    capsys: pytest.CaptureFixture[str], outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUMBLE_RELAY_BRIDGE_USERS", str(OTHER_UID))
    reject(outbox, "cmp9", uid=OTHER_UID)
    assert "run this command as a user in `bridge_users`" in resend(capsys, outbox)[1]
    monkeypatch.setenv("STUMBLE_RELAY_BRIDGE_USERS", f"{UID},{OTHER_UID}")
    assert resend(capsys, outbox)[0] == 0


def test_event_of_a_user_that_is_not_served_is_not_written(capsys: pytest.CaptureFixture[str], outbox: Path) -> None:
    reject(outbox, "cmp1", uid=UID + 2)
    assert "does not serve the user" in resend(capsys, outbox)[1]
    assert records(outbox, "stumble-resend") == []


@pytest.mark.parametrize(
    "change",
    [
        {"body": base64.b64encode(b"\xff").decode()},
        {"body": "?"},
        {"body": None},
        {"fingerprint": "00" * 8},
        {"folder": "nobody"},
        {"event_id": "7"},
        {"key": None},
        {"key": "k" * 70_000},
        {"occurred_at": 10**40},
    ],
)
def test_row_that_cannot_be_read_is_counted_and_stops_nothing(
    capsys: pytest.CaptureFixture[str], outbox: Path, change: dict[str, Any]
) -> None:
    reject(outbox, "cmp1")
    path = outbox / "relay" / FILE
    (row,) = read_rejected(outbox / "relay")
    path.write_text(json.dumps(row | change) + "\n" + json.dumps(row | {"segment": 2}) + "\n[]\n7\n")
    status, text = resend(capsys, outbox)
    assert (status, "1 events are in the outbox again. 1 events are not: this release cannot" in text) == (1, True)


def test_user_that_the_relay_does_not_serve_is_told_whom_to_run_it_as(
    capsys: pytest.CaptureFixture[str], outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUMBLE_RELAY_USERS", str(OTHER_UID))
    status, text = resend(capsys, outbox)
    assert (status, "run this as root" in text) == (1, True)
