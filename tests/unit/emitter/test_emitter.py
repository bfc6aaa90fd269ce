"""The library: fields that it fills in, errors that it survives, events of its context managers."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stumble.emitter import Emitter, describe_failure, failure_token
from stumble.outbox import OutboxCursor, OutboxReader, OutboxRecord
from stumble.outbox.folders import outbox_folders
from stumble.wire.codec import decode_record
from stumble.wire.schemas import EVENT

SERVER = "0d7ae9f4-6b3c-4b07-b9d5-bd2b3a8a3c58"


def emitter(path: Path, **options: Any) -> Emitter:
    return Emitter(path, **{"service": "svc", "host": "h1"} | options)


def records(path: Path) -> list[OutboxRecord]:
    outbox_records: list[OutboxRecord] = []
    for folder in outbox_folders(str(path)):
        reader, cursor = OutboxReader(folder.path), OutboxCursor()
        while (chunk := reader.read(cursor, live=True)).end != cursor:
            outbox_records += chunk.records
            cursor = chunk.end
        reader.close()
    return outbox_records


def events(path: Path) -> list[dict[str, Any]]:
    return [decode_record(EVENT, record.body) for record in records(path)]


def test_absent_fields_are_filled_in(tmp_path: Path) -> None:
    before = time.time_ns() // 1000
    given_event = {"instance_uuid": SERVER, "phase": "START", "cell": None}
    assert emitter(tmp_path, cell="c1", region="r", labels={"rack": "7"}).emit(given_event)
    assert given_event == {"instance_uuid": SERVER, "phase": "START", "cell": None}
    (event,), (record,) = events(tmp_path), records(tmp_path)
    assert before <= event["occurred_at"] <= event["emitted_at"]
    assert (event["service"], event["host"], event["cell"], event["region"]) == ("svc", "h1", "c1", "r")
    assert event["labels"] == {"rack": "7"}
    assert event["source"]["kind"] == "LIBRARY"
    assert uuid.UUID(event["event_id"]).bytes == record.envelope.event_id
    assert uuid.UUID(event["event_id"]).version == 7
    assert (record.envelope.key, record.envelope.source) == (SERVER.encode(), b"svc:h1")
    assert record.envelope.fingerprint == EVENT.fingerprint


def test_secrets_are_masked_wherever_the_caller_puts_a_text(tmp_path: Path) -> None:
    secret = "Qv7 abc"
    text = f"{{'auth_password': '{secret}'}}"
    failure = {"exception": "ValueError", "message": text, "reason": text, "traceback": text}
    attributes = {"admin_pass": secret, "note": text, "volume": "vol-1"}
    given_event = {"instance_uuid": SERVER, "phase": "ERROR", "failure": failure, "attributes": attributes}
    assert emitter(tmp_path).emit(given_event)
    event = events(tmp_path)[0]
    assert b"Qv7" not in records(tmp_path)[0].body
    assert event["failure"]["message"] == "{'auth_password': '***'}"
    assert event["attributes"] == {"admin_pass": "***", "note": "{'auth_password': '***'}", "volume": "vol-1"}
    assert failure["message"] == text


def test_given_fields_stay_unchanged(tmp_path: Path) -> None:
    given_event = {
        "event_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "occurred_at": 17,
        "emitted_at": 18,
        "host": "other",
        "labels": {"a": "b"},
        "source": {"kind": "VERSIONED", "publisher": "nova-compute:cmp1"},
    }
    assert emitter(tmp_path, labels={"rack": "7"}).emit(given_event, traceparent="00-aa-bb-01")
    (event,), (record,) = events(tmp_path), records(tmp_path)
    assert {name: event[name] for name in given_event if name != "source"} == {
        name: value for name, value in given_event.items() if name != "source"
    }
    assert (record.envelope.source, record.envelope.traceparent) == (b"nova-compute:cmp1", b"00-aa-bb-01")
    assert record.envelope.key == b"nova-compute:cmp1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"event_id": "no uuid"},
        {"occurred_at": "yesterday"},
        {"occurred_at": 1 << 80},
        {"phase": "SIDEWAYS"},
        {"instance": 5},
        {"source": "x"},
        {"labels": 7},
        None,
    ],
)
def test_invalid_event_is_counted_and_logged_once_without_raising(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any] | None
) -> None:
    sender = emitter(tmp_path)
    assert sender.emit({"phase": "START"})
    for _ in range(3):
        assert not sender.emit(wrong)  # type: ignore[arg-type]
    assert sender.emit({"phase": "END"})
    assert (sender.totals.accepted, sender.totals.invalid) == (2, 3)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_names = st.sampled_from([*(field["name"] for field in EVENT.parsed["fields"]), "nonsense"])


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(_names, _junk, max_size=6))
def test_emit_never_raises(tmp_path: Path, event: dict[str, Any]) -> None:
    sender = emitter(tmp_path)
    before = len(records(tmp_path))
    accepted = sender.emit(event)
    assert len(events(tmp_path)) == before + accepted


def test_long_text_is_cut(tmp_path: Path) -> None:
    failure = {"exception": "X", "message": "m" * 100_000, "traceback": "é" * 100_000}
    assert emitter(tmp_path).emit({"phase": "ERROR", "failure": failure, "display": "\ud800\x00"})
    (event,), (record,) = events(tmp_path), records(tmp_path)
    assert len(record.body) < 25_000
    assert "[cut]" in event["failure"]["traceback"]
    assert record.envelope.is_failure


def test_successful_action_emits_start_steps_progress_and_end(tmp_path: Path) -> None:
    with emitter(tmp_path).action(SERVER, "resize", request_id="req-1", owner_project_id="p") as action:
        with action.step("compute_prep_resize", attempt=1, host="h2"):
            pass
        action.progress(dest_host="h2")
    emitted = events(tmp_path)
    assert [(e["scope"], e["phase"], e["step"]) for e in emitted] == [
        ("REQUEST", "START", None),
        ("STEP", "START", "compute_prep_resize"),
        ("STEP", "END", "compute_prep_resize"),
        ("REQUEST", "PROGRESS", None),
        ("REQUEST", "END", None),
    ]
    assert {(e["instance_uuid"], e["action"], e["request_id"], e["owner_project_id"]) for e in emitted} == {
        (SERVER, "resize", "req-1", "p")
    }
    assert [e["source"]["signal"] for e in emitted] == ["request", "step", "step", "request", "request"]
    assert emitted[1]["step_id"] == emitted[2]["step_id"]
    assert (emitted[1]["attempt_id"], emitted[1]["host"], emitted[0]["host"]) == ("1", "h2", "h1")
    assert emitted[3]["dest_host"] == "h2"


def test_exception_is_raised_and_recorded_as_one_failure(tmp_path: Path) -> None:
    error = RuntimeError("disk password=hunter2 gone")
    with (
        pytest.raises(RuntimeError) as raised,
        emitter(tmp_path).action(SERVER, "resize", request_id="req-1") as action,
        action.step("one"),
    ):
        raise error from KeyError("cause")
    assert raised.value is error
    failed = [e for e in events(tmp_path) if e["phase"] == "ERROR"]
    assert [e["scope"] for e in failed] == ["STEP", "REQUEST"]
    assert {e["failure_id"] for e in failed} == {failure_token(error)}
    failure = failed[0]["failure"]
    assert (failure["exception"], failure["reason"], failure["chain"]) == ("RuntimeError", "RuntimeError", ["KeyError"])
    assert failure["function"] == "test_exception_is_raised_and_recorded_as_one_failure"
    assert "hunter2" not in str(failed)
    assert "Traceback" in failure["traceback"]


def test_caught_failure_is_an_error_of_its_attempt_only(tmp_path: Path) -> None:
    with emitter(tmp_path).action(SERVER, "create") as action:
        for attempt in (1, 2):
            try:
                with action.step("build", attempt=attempt):
                    if attempt == 1:
                        raise OSError("no")  # noqa: TRY301
            except OSError:
                pass
    assert [(e["phase"], e["attempt_id"]) for e in events(tmp_path) if e["scope"] == "STEP"] == [
        ("START", "1"),
        ("ERROR", "1"),
        ("START", "2"),
        ("END", "2"),
    ]
    assert events(tmp_path)[-1]["phase"] == "END"


def test_cancelled_action_is_not_a_failure(tmp_path: Path) -> None:
    sender = emitter(tmp_path)
    with sender.action(SERVER, "live-migration", attributes={"a": "b"}) as action:
        action.cancel()
    with pytest.raises(asyncio.CancelledError), sender.action(SERVER, "live-migration"):
        raise asyncio.CancelledError
    ends = [e for e in events(tmp_path) if e["phase"] != "START"]
    assert [(e["phase"], e["attributes"].get("outcome"), e["failure"]) for e in ends] == [
        ("END", "CANCELLED", None)
    ] * 2
    assert ends[0]["attributes"]["a"] == "b"


class BrokenException(Exception):
    """Raises from every method that describes it."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("no attributes")


def test_exception_whose_methods_raise_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(BrokenException), emitter(tmp_path).action(SERVER, "stop"):
        raise BrokenException
    (failed,) = [e for e in events(tmp_path) if e["phase"] == "ERROR"]
    assert failed["failure"]["exception"] == "BrokenException"
    assert describe_failure(ValueError("x"))["message"] == "x"
