"""`stumble check outbox`: users and hosts that the relay's configuration does not allow, and rejected events."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stumble.checks.admission import check_admission
from stumble.checks.model import CheckContext, CheckLevel, CheckResult
from stumble.emitter import Emitter
from stumble.outbox import Envelope, OutboxRecord
from stumble.relay.rejected import write_rejected
from stumble.settings.base import Settings

OTHER_UID = 4_000_001
Start = Callable[[str], None]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return a function that lets a process of a host write an event."""
    emitters = []

    def write(host: str) -> None:
        emitter = Emitter(tmp_path, service="nova-compute", host=host)
        assert emitter.emit({"phase": "START", "action": "resize"})
        emitters.append(emitter)

    return write


def findings(directory: Path) -> list[CheckResult]:
    return list(check_admission(CheckContext(Settings(outbox_dir=directory, host="cmp1"))))


def test_host_that_the_relay_allows_is_fine(tmp_path: Path, start: Start) -> None:
    start("cmp1")
    assert [one.level for one in findings(tmp_path)] == [CheckLevel.FINE]


def test_host_that_the_relay_does_not_allow_is_wrong_with_the_line_to_write(tmp_path: Path, start: Start) -> None:
    start("cmp1")
    start("cmp1.example.org")
    (found,) = findings(tmp_path)
    assert (found.level, found.subject) == (CheckLevel.WRONG, "cmp1.example.org")
    assert "rejects the events of nova-compute" in found.says
    assert 'hosts = ["cmp1", "cmp1.example.org"]' in found.todo


def test_hosts_of_the_configuration_decide(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_RELAY_HOSTS", "cmp2,cell-*")
    start("cell-7")
    assert [one.level for one in findings(tmp_path)] == [CheckLevel.FINE]
    start("cmp1")
    assert 'hosts = ["cmp2", "cell-*", "cmp1"]' in findings(tmp_path)[0].todo


@pytest.mark.parametrize("host", ["*", "cmp?", "a\x1b[31m", "x" * 300])
def test_claimed_name_that_is_no_host_is_not_recommended(tmp_path: Path, start: Start, host: str) -> None:
    start(host)
    (found,) = findings(tmp_path)
    assert (found.level, "hosts =" in found.todo) == (CheckLevel.WRONG, False)
    assert len(found.subject) <= 100


def test_bridge_user_may_name_any_host(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUMBLE_RELAY_BRIDGE_USERS", str(os.geteuid()))
    start("cmp9")
    assert findings(tmp_path) == []


def test_directory_of_a_user_that_is_not_served_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"uid-{OTHER_UID}").mkdir()
    (found,) = findings(tmp_path)
    assert (found.level, found.subject) == (CheckLevel.WRONG, f"{tmp_path}/uid-{OTHER_UID}")
    assert f'"{OTHER_UID}"] into [relay]' in found.todo
    monkeypatch.setenv("STUMBLE_RELAY_USERS", str(OTHER_UID))
    assert findings(tmp_path) == []


def test_rejected_events_are_a_warning_and_a_full_file_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relay").mkdir()
    record = OutboxRecord(16, 9, Envelope(b"12345678", 1, bytes(16), b"key"), b"body")
    write_rejected(tmp_path / "relay", "uid-0/x", 1, [(record, "too large")])
    (found,) = findings(tmp_path)
    assert found.level is CheckLevel.WARNING
    assert "1 events were rejected" in found.says
    assert "too large" in found.says
    monkeypatch.setattr("stumble.checks.admission.MOST_BYTES_OF_RELAY", 100)
    assert findings(tmp_path)[0].level is CheckLevel.WRONG
