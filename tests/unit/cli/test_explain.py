"""`stumble explain`: inputs, filters, formats and exit statuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.support import command

SERVERS = ("11111111-2222-4333-8444-555555555555", "22222222-2222-4333-8444-555555555555")


def notification(server: str, name: str, number: int, request: str) -> str:
    message = {
        "event_type": f"instance.{name}",
        "publisher_id": "nova-compute:cmp1",
        "message_id": f"m{number}",
        "timestamp": f"2026-05-01 10:00:0{number}",
        "payload": {"nova_object.data": {"uuid": server, "state": "stopped"}},
        "_context_request_id": request,
    }
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)}) + "\n"


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "notifications.jsonl"
    lines = [
        notification(SERVERS[0], "power_off.start", 1, "req-a"),
        notification(SERVERS[1], "power_off.start", 2, "req-b"),
        notification(SERVERS[0], "power_off.end", 3, "req-a"),
        notification(SERVERS[0], "power_on.start", 4, "req-c"),
    ]
    path.write_text("".join(lines))
    return str(path)


def test_text_has_events_rule_and_record_of_each_server(recording: str) -> None:
    result = command.stumble("explain", recording, COLUMNS="80")
    assert (result.returncode, result.stderr) == (0, "")
    assert [f"Server {uuid}" in result.stdout for uuid in SERVERS] == [True, True]
    assert "-> request 1: success marker" in result.stdout
    assert "Request 1: stop req-a: SUCCEEDED" in result.stdout
    assert "finished_at: 2026-05-01 10:00:03.000" in result.stdout
    assert "Read: 4 notifications; 4 events." in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_filters_select_a_server_and_a_request(recording: str) -> None:
    by_server = command.stumble("explain", recording, "--server", SERVERS[1].upper()).stdout
    assert SERVERS[1] in by_server
    assert SERVERS[0] not in by_server
    by_request = command.stumble("explain", recording, "--request", "req-a").stdout
    assert "Request 1: stop req-a" in by_request
    assert "req-c" not in by_request
    assert SERVERS[1] not in by_request
    assert "No event of the input" in command.stumble("explain", recording, "--request", "req-x").stdout


def test_json_has_one_object_per_server_and_one_about_the_input(recording: str) -> None:
    result = command.stumble("explain", recording, "--format", "json")
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["kind"] for one in objects] == ["server", "server", "input"]
    first = objects[0]["requests"][0]
    assert (first["record"]["outcome"], first["record"]["started_at"]) == ("SUCCEEDED", "2026-05-01T10:00:01.000000Z")
    assert first["success_markers"] == [objects[0]["events"][1]["event_id"]]
    assert objects[-1]["signals"] == {"notification": 4}
    only = command.stumble("explain", recording, "--format", "json", "--request", "req-c").stdout.splitlines()
    (server, _) = (json.loads(line) for line in only)
    assert [one["record"]["action"] for one in server["requests"]] == ["start"]
    assert [event["action"] for event in server["events"]] == ["start"]


def test_files_and_standard_input_are_one_stream(recording: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later = notification(SERVERS[1], "power_off.end", 5, "req-b").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(later)))
    result = command.stumble("explain", recording, "-")
    assert "Request 1: stop req-b: SUCCEEDED" in result.stdout


def test_unreadable_lines_are_one_sentence_and_an_error_with_strict(tmp_path: Path) -> None:
    path = tmp_path / "mixed.log"
    path.write_text("hello\n" + notification(SERVERS[0], "power_off.end", 1, "req-a") + "{}\n")
    first = f"2 lines are neither a notification nor a call nor an event: {path} line 1 is no JSON"
    sentence = f"{first}; others: {path} line 3.\n"
    result = command.stumble("explain", str(path))
    assert (result.returncode, result.stderr) == (0, sentence)
    strict = command.stumble("explain", "--strict", str(path))
    assert (strict.returncode, strict.stderr) == (1, f"stumble: {sentence}")
    assert strict.stdout == result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("/no/such/file",), 1, "/no/such/file cannot be read: No such file or directory"),
        (("/",), 1, "/ cannot be read: Is a directory"),
        (("/dev/null",), 1, "the input contains no notification, no call and no event"),
        (("/dev/null", "--server", "x"), 2, "'x' is not a valid UUID"),
        ((), 2, "Missing argument"),
    ],
)
def test_wrong_input_is_one_sentence(arguments: tuple[str, ...], status: int, words: str) -> None:
    result = command.stumble("explain", *arguments)
    assert result.returncode == status
    assert words in result.stderr
    assert "Traceback" not in result.stderr
