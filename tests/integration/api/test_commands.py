"""The query commands with a real API."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from datetime import timedelta

from tests.support import command
from tests.support.command import CommandResult
from tests.support.rows import START, Store, micros
from tests.support.services import ROOT, cli_environment


def stumble(*arguments: str, api: str = "") -> CommandResult:
    return command.stumble(*arguments, STUMBLE_API_URL=api) if api else command.stumble(*arguments)


def test_failures_are_printed_as_a_table_and_as_json(store: Store, api: str) -> None:
    for number in range(3):
        store.failure(
            store.request(display_name=f"web-{number}"), occurred_at=START + timedelta(seconds=number), reason="[red]no"
        )
    result = stumble("failures", api=api)
    assert result.returncode == 0, result.stderr
    assert [result.stdout.index(f"web-{number}") for number in (2, 1, 0)] == sorted(
        result.stdout.index(f"web-{number}") for number in range(3)
    )
    assert "InstancePowerOffFailure: [red]no" in result.stdout
    listed = json.loads(stumble("failures", "--format", "json", "--limit", "2", api=api).stdout)
    assert [item["display_name"] for item in listed] == ["web-2", "web-1"]
    more = stumble("failures", "--limit", "2", api=api)
    assert "more than 2" in more.stdout


def test_empty_result_is_printed_as_a_sentence(store: Store, api: str) -> None:
    assert stumble("failures", api=api).stdout == "No failures so far.\n"
    assert stumble("instance", "no-uuid", api=api).returncode == 2
    assert stumble("failures", "--since", "1h", api=api).stdout == "No failures match.\n"
    assert stumble("failures", "--format", "json", api=api).stdout == "[]\n"


def test_escape_characters_of_the_cloud_are_not_printed(store: Store, api: str) -> None:
    store.failure(store.request(display_name="a\x1b]0;owned\x07"), reason="\x1b[2Jgone")
    for arguments in (("failures",), ("instance", str(store.failure(store.request())["instance_uuid"]))):
        assert "\x1b" not in stumble(*arguments, api=api).stdout


def test_request_and_instance_are_printed_with_their_failures(store: Store, api: str) -> None:
    steps = [
        {
            "step": "compute_stop_instance",
            "host": host,
            "attempt": attempt,
            "started_at": micros(START),
            "result": "Error",
        }
        for attempt, host in enumerate(("cmp1", "cmp2", "cmp3"), 1)
    ]
    request = store.request(action="create", verdict="MaxRetriesExceeded", failure_count=2, steps=steps)
    store.failure(request, host="cmp1")
    store.failure(request, host="cmp2", attempt=2, occurred_at=START + timedelta(seconds=9))
    result = stumble("request", request["request_id"], api=api).stdout
    for word in ("create on web-1: FAILED", "MaxRetriesExceeded", "cmp1", "cmp2", "(attempt 2)", "cmp3"):
        assert result.count(word) == 1, word
    result = stumble("instance", str(request["instance_uuid"]), api=api).stdout
    for word in ("Last request", "create on web-1: FAILED", "Last failure", "History"):
        assert word in result
    result = json.loads(stumble("request", request["request_id"], "--format", "json", api=api).stdout)
    assert result["items"][0]["failures"][1]["host"] == "cmp2"


def test_message_is_printed_beside_a_reason_that_is_only_a_class(store: Store, api: str) -> None:
    request = store.request(reason="libvirtError")
    store.failure_with_message(request, "internal error:\n" + "x" * 1000, fingerprint="v1:abc")
    store.insert("problems", fingerprint="v1:abc", exception="libvirtError", blame="UNKNOWN", reason="libvirtError",
                 first_at=START, last_at=START)  # fmt: skip
    server = str(request["instance_uuid"])
    shown = "libvirtError: internal error: " + "x" * 283 + "…"
    for arguments in (
        ("failures",),
        ("request", request["request_id"]),
        ("instance", server),
        ("problems", "ls"),
        ("wait", request["request_id"]),
    ):
        assert shown in command.stumble(*arguments, COLUMNS="800", STUMBLE_API_URL=api).stdout, arguments
    assert "x" * 1000 in "".join(stumble("problems", "show", "v1:abc", api=api).stdout.split())
    listed = json.loads(stumble("failures", "--format", "json", api=api).stdout)
    assert listed[0]["message"] == "internal error:\n" + "x" * 1000


def test_error_is_printed_as_one_sentence(store: Store, api: str) -> None:
    for arguments, status in (
        (("request", "req-none"), 1),
        (("instance", str(uuid.uuid4())), 1),
        (("failures", "--api", "http://127.0.0.1:9"), 1),
        (("failures", "--api", "nonsense"), 1),
    ):
        result = stumble(*arguments, api=api)
        assert result.returncode == status, result
        assert result.stdout == ""
        assert result.stderr.startswith("stumble: ")
        assert len(result.stderr.splitlines()) == 1
    assert stumble("instance", "no-uuid", api=api).returncode == 2
    assert stumble("failures", "--since", "soon", api=api).returncode == 2
    assert stumble("failures", "--blame", "me", api=api).returncode == 2


def test_api_refuses_public_addresses_and_a_port_in_use(store: Store, api: str) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        result = stumble("api", "--host", host)
        assert result.returncode == 1
        assert "no authentication is configured" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    port = api.rpartition(":")[2]
    result = stumble("api", "--port", port)
    assert result.returncode == 1
    assert "is in use" in result.stderr


def test_follow_lists_failures_then_prints_new_ones_until_ctrl_c(store: Store, api: str) -> None:
    known = store.failure(store.request(display_name="known"))
    command_line = [sys.executable, "-u", "-m", "stumble.cli", "failures", "--follow", "--api", api]
    with command.running(
        command_line, cwd=ROOT, env=cli_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "known" in process.stdout.readline()
        new = store.failure(store.request(display_name="new"))
        store.publish("failure", known)  # was listed already
        store.publish("failure", new)
        assert "new" in process.stdout.readline()
        store.publish("failure", new, revision=2, status="RETRACTED")
        assert "retracted: no longer counted" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 130
        assert process.stdout.read() + process.stderr.read() == ""
