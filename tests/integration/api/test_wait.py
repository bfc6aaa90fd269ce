"""`stumble wait`: each exit status, with a real API."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.api_fixtures import running_api
from tests.support.rows import Store
from tests.support.services import ROOT, cli_environment

QUICK = ("--settle", "0.2s", "--appear", "2s")


class Waiter:
    """Starts `stumble wait`; returns its exit status and output."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "stumble.cli", "wait", "--api", self.api, *arguments],
            cwd=ROOT, env=cli_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def run(self, *arguments: str) -> tuple[int, str]:
        return finish(self.start(*arguments))


def wait_for_waiting_requests(api: str, count: int = 1) -> None:
    """Wait until the API holds `count` requests that wait for an outcome."""
    deadline = time.monotonic() + 60
    while f"stumble_api_waiting_requests {count:.1f}" not in httpx.get(f"{api}/metrics", timeout=20).text:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    return process.returncode, out + err


@pytest.fixture
def wait(api: str) -> Iterator[Waiter]:
    waiter = Waiter(api)
    yield waiter
    waiter.end()


def test_exit_status_depends_on_the_outcome(store: Store, wait: Waiter) -> None:
    expected = {"SUCCEEDED": 0, "RECOVERED": 0, "FAILED": 1, "CANCELLED": 3, "STALLED": 5}
    running = {}
    for outcome, status in expected.items():
        request = store.request(outcome=outcome, reason=f"because {outcome}")
        running[outcome] = (status, wait.start(request["request_id"], *QUICK))
    for outcome, (status, process) in running.items():
        code, text = finish(process)
        assert (code, outcome in text) == (status, True), text
        assert (f"because {outcome}" in text) is (outcome != "SUCCEEDED")


def test_exit_status_of_several_requests_is_that_of_the_worst(store: Store, wait: Waiter) -> None:
    cases = {
        1: ("SUCCEEDED", "STALLED", "FAILED", "CANCELLED"),
        5: ("SUCCEEDED", "STALLED", "CANCELLED"),
        3: ("SUCCEEDED", "CANCELLED", "RECOVERED"),
        0: ("SUCCEEDED", "RECOVERED"),
    }
    for status, outcomes in cases.items():
        for outcome in outcomes:
            store.request(outcome=outcome, global_request_id=f"req-global-{status}")
    running = {status: wait.start(f"req-global-{status}", *QUICK) for status in cases}
    for status, process in running.items():
        assert finish(process)[0] == status


def test_unknown_request_exits_with_4_and_timeout_with_5(store: Store, wait: Waiter) -> None:
    open_ = store.request(outcome="IN_PROGRESS")
    half = [store.request(outcome=outcome, global_request_id="req-half") for outcome in ("FAILED", "IN_PROGRESS")]
    assert half
    never = wait.start("req-never", "--appear", "0.5s")
    nothing = wait.start("req-never", "--appear", "1h", "--timeout", "0.5s")
    late = wait.start(open_["request_id"], "--timeout", "1s")
    failed = wait.start("req-half", "--timeout", "1s")
    code, text = finish(never)
    assert code == 4
    assert "no request was seen for req-never" in text
    assert finish(nothing)[0] == 5
    code, text = finish(late)
    assert code == 5
    assert "no outcome after 1 s" in text
    assert finish(failed)[0] == 1


def test_wait_includes_requests_that_appear_in_the_settle_time(store: Store, wait: Waiter) -> None:
    first = store.request(outcome="IN_PROGRESS", global_request_id="req-global")
    process = wait.start("req-global", "--settle", "10s")
    wait_for_waiting_requests(wait.api)
    store.finish_request(first, "SUCCEEDED")
    second = store.request(outcome="IN_PROGRESS", global_request_id="req-global", display_name="late")
    wait_for_waiting_requests(wait.api)
    assert process.poll() is None
    store.finish_request(second, "FAILED")
    code, text = finish(process)
    assert code == 1
    assert "late" in text


def test_wait_for_a_request_that_does_not_exist_yet(store: Store, wait: Waiter) -> None:
    process = wait.start("req-soon", "--settle", "0.2s", "--format", "json")
    wait_for_waiting_requests(wait.api)
    store.finish_request(store.request(request_id="req-soon", outcome="IN_PROGRESS"), "SUCCEEDED")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out)[0]["outcome"] == "SUCCEEDED"


def test_wait_for_a_server_uses_its_latest_request(store: Store, wait: Waiter) -> None:
    server, now = uuid.uuid4(), datetime.now(UTC)

    def request(minutes: int, action: str, outcome: str, request_id: str) -> None:
        store.request(
            instance_uuid=server, action=action, outcome=outcome, request_id=request_id,
            started_at=now - timedelta(minutes=minutes),
        )  # fmt: skip

    request(30, "reboot", "FAILED", "req-1")
    request(10, "confirmResize", "CANCELLED", "req-2")
    request(10, "delete", "SUCCEEDED", "req-2")
    cases: dict[tuple[str, ...], int] = {
        (): 3,
        ("--action", "delete"): 0,
        ("--action", "reboot"): 1,
        ("--action", "reboot", "--since", "20m"): 4,
        ("--action", "resize", "--appear", "0.3s"): 4,
    }
    running = {options: wait.start("--server", str(server), *QUICK, *options) for options in cases}
    for options, process in running.items():
        assert finish(process)[0] == cases[options], options


def test_wrong_usage_exits_with_2_and_unreachable_api_with_69(wait: Waiter) -> None:
    for arguments in ((), ("req-1", "--server", str(uuid.uuid4())), ("--server", "x"), ("req-1", "--action", "stop"),
                      ("req-1", "--settle", "soon")):  # fmt: skip
        assert wait.run(*arguments)[0] == 2
    code, text = Waiter("http://127.0.0.1:9").run("req-1")
    assert code == 69
    assert "cannot be reached" in text


def test_ctrl_c_ends_wait_with_130_and_no_output(store: Store, wait: Waiter) -> None:
    process = wait.start(store.request(outcome="IN_PROGRESS")["request_id"])
    wait_for_waiting_requests(wait.api)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=90)
    assert (process.returncode, out, err.strip()) == (130, "", "")


def test_wait_continues_after_a_restart_of_the_api(store: Store, wait: Waiter, unused_port: Callable[[], int]) -> None:
    request = store.request(outcome="IN_PROGRESS")
    port = unused_port()
    with running_api(store.url, "--port", str(port)) as wait.api:
        process = wait.start(request["request_id"], "--settle", "0.2s")
        wait_for_waiting_requests(wait.api)
    time.sleep(1)
    assert process.poll() is None
    store.finish_request(request, "CANCELLED")
    with running_api(store.url, "--port", str(port)):
        assert finish(process)[0] == 3
