"""The attempts: `make run` until a failure is listed and then Ctrl-C, or a refusal in one sentence."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.request
from collections.abc import Iterator

from tests.newcomer.newcomer import Newcomer, RowFailed
from tests.support.port_in_use import port_in_use

FIRST_FAILURE = 120.0  # seconds until the API must list a failure of the simulated fleet
API_PORT = 8686  # the port of the README, used unless it is in use
SCENARIO = "resize: no valid host"


@contextlib.contextmanager
def running_until_first_failure(newcomer: Newcomer) -> Iterator[str]:
    """Run `make run` until the API lists a failure; yield its URL, then stop with Ctrl-C and check for leftovers."""
    before = newcomer.beside_the_clone()
    run = newcomer.make("run", "ARGS=--no-follow")
    url = run.wait_for(r"Web page +(http://\S+)/\n")
    deadline = time.monotonic() + FIRST_FAILURE
    while not get(f"{url}/v1/failures?limit=1")["items"]:
        if time.monotonic() > deadline:
            raise RowFailed(f"the API lists no failure:\n{run.text()[-3000:]}")
        time.sleep(0.2)
    yield url
    run.press_ctrl_c()
    run.ended()
    if "Stopped. The data is stored" not in run.text() or "Traceback" in run.text():
        raise RowFailed(f"Ctrl-C did not stop it cleanly:\n{run.text()[-3000:]}")
    if leftovers := newcomer.processes():
        raise RowFailed("processes are left: " + "; ".join(leftovers))
    if created := newcomer.beside_the_clone() - before:
        raise RowFailed(f"files are left beside the clone: {sorted(created)}")


def get(url: str) -> dict[str, list[object]]:
    """Return the JSON response of the local API."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as reply:
        answer: dict[str, list[object]] = json.load(reply)
    return answer


def first_failure(newcomer: Newcomer) -> None:
    """Expect a failure in the API."""
    with running_until_first_failure(newcomer):
        pass


def first_failure_and_nova(newcomer: Newcomer) -> None:
    """Also create Nova's environment, and play one scenario in it."""
    first_failure(newcomer)
    nova = newcomer.make("nova", f"ARGS=--only '{SCENARIO}'")
    if nova.ended() or "1 of 1 records are right" not in nova.text():
        raise RowFailed(f"make nova failed:\n{nova.text()[-3000:]}")
    if leftovers := newcomer.processes():
        raise RowFailed("processes are left: " + "; ".join(leftovers))


def another_port(newcomer: Newcomer) -> None:
    """Expect another port than the one in use."""
    with port_in_use(API_PORT), running_until_first_failure(newcomer) as url:
        if url.endswith(f":{API_PORT}"):
            raise RowFailed(f"port {API_PORT} is in use, but the printed URL of the API has this port")


def second_run_is_refused(newcomer: Newcomer) -> None:
    """Expect that a second `make run` in the same checkout is refused, and that the first continues."""
    with running_until_first_failure(newcomer) as url:
        refused(newcomer, r"stumble already runs with its state in .* \(pid \d+\); stop that run with Ctrl-C, or .*")
        get(f"{url}/v1/failures?limit=1")


def refused(newcomer: Newcomer, sentence: str) -> None:
    """Expect that `make run` ends immediately with one sentence."""
    run = newcomer.make("run", "ARGS=--no-follow")
    status = run.ended()
    lines = [line for line in run.text().splitlines() if not line.startswith("make: ")]
    if not status or len(lines) != 1 or not re.fullmatch(f"stumble: {sentence}", lines[0]):
        raise RowFailed(f"status {status}, expected one sentence like {sentence!r}:\n{run.text()[-3000:]}")


def full_disk_is_refused(newcomer: Newcomer) -> None:
    """Expect the sentence about a disk that is too small, before any download."""
    refused(newcomer, r"the disk of .* has \d+ MB free and \.venv needs \d+ MB; free some space there, or .*")


def unreachable_folder_is_refused(newcomer: Newcomer) -> None:
    """Expect the sentence about root and PostgreSQL, before any download."""
    refused(newcomer, r"PostgreSQL refuses to run as root, and as the user nobody it cannot reach .*; work as .*")
