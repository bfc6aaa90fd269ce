"""Nova's environment, and what Nova and stumble said of every scenario, made once per run for all workers."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "nova"))

from novaharness.scenarios import SCENARIOS  # noqa: E402

from stumble.local.errors import LocalError  # noqa: E402
from tests.nova import evidence, judge  # noqa: E402
from tests.nova.pipeline import ROLES, Pipeline  # noqa: E402

EXPECTED = {scenario.name: scenario.expected for scenario in SCENARIOS}
VERSION = "33.0.2"
Told = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def shared_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of the run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "nova"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def nova_python() -> Path:
    """Python of Nova's environment, which is made if it isn't there, and has this checkout's driver in it."""
    folder = Path(os.environ.get("STUMBLE_NOVA_VENV") or ROOT / f".venv-nova-{VERSION}")
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--nova", VERSION, "--venv", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def harness(nova_python: Path) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that runs the harness: ``harness("--tour", "--format", "both") -> results``.

    `path` names a folder in which it finds more libraries.
    """

    def run(*arguments: str, path: str = "") -> list[dict[str, Any]]:
        folders = os.pathsep.join(filter(None, (str(ROOT / "tests" / "nova"), path)))
        environment = {**os.environ, "PYTHONPATH": folders, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [str(nova_python), "-m", "novaharness", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=1500,
        )
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == any("error" in result for result in results), done.stderr[-4000:]
        return results

    return run


@pytest.fixture(scope="session")
def told(
    harness: Callable[..., list[dict[str, Any]]],
    shared_folder: Path,
    request: pytest.FixtureRequest,
) -> Callable[..., Told]:
    """Return ``told(name, *arguments)``: per scenario Nova's `result` and stumble's `items` of its request.

    The first worker that asks plays; the others read what it found.
    """

    def tell(name: str, *arguments: str) -> Told:
        file = shared_folder / f"{name}.json"
        with (shared_folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                new_database = request.getfixturevalue("new_database")
                kafka = request.getfixturevalue("kafka")
                file.write_text(json.dumps(tried(harness, shared_folder / name, kafka, new_database(), arguments)))
        found: Told = json.loads(file.read_text())
        assert "broken" not in found, found["broken"]["error"]
        return found

    return tell


def tried(*arguments: Any) -> Told:
    """Play; what went wrong is kept too, so that it isn't tried again for every scenario."""
    try:
        return play(*arguments)
    except (AssertionError, LocalError, subprocess.SubprocessError, OSError) as error:
        return {"broken": {"error": str(error)}}


def play(
    harness: Callable[..., list[dict[str, Any]]], state: Path, kafka: str, database: str, arguments: tuple[str, ...]
) -> Told:
    """Play scenarios into a pipeline of their own and ask its API about every one; keep all that was left behind."""
    prefix, kept = f"nova-{uuid.uuid4().hex[:8]}-", state / "evidence"
    pipeline = Pipeline(
        state, bootstrap_servers=kafka, database_url=database, topic_prefix=prefix, roles=(*ROLES, "alerter")
    )
    with pipeline:
        with evidence.Watch(pipeline.outbox, database, kept):
            evidence_of_nova = ("--witness", str(kept / "witness.json"), "--log", str(kept / "nova.log"))
            results = harness("--stumble", f"outbox_dir={pipeline.outbox}", *evidence_of_nova, *arguments)
            wait_right(pipeline, results)
        evidence.collect(pipeline, results, kept)
        return {result["scenario"]: {"result": result, "items": told_of(pipeline, result)} for result in results}


def told_of(pipeline: Pipeline, result: dict[str, Any]) -> list[Any]:
    """Return what stumble tells of the request of a harness's result."""
    return judge.of_scenario(pipeline.requests(result["request_id"] or "none"), result)


def wait_right(pipeline: Pipeline, results: list[dict[str, Any]], timeout: float = 180) -> None:
    """Wait until the store says what is expected of every scenario, or `timeout` seconds are over."""
    deadline = time.monotonic() + timeout
    for result in results:
        if "error" in result:
            continue
        expected = EXPECTED[result["scenario"]]
        while judge.differences(expected, told_of(pipeline, result)) and time.monotonic() < deadline:
            pipeline.require_running()
            time.sleep(0.2)
