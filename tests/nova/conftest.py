"""Nova's environment, and the results of every scenario, made once per run for all workers."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "nova"))

from novaharness.scenarios import SCENARIOS  # noqa: E402

from stumble.local.errors import LocalError  # noqa: E402
from tests.nova import evidence, judge  # noqa: E402
from tests.nova.pipeline import ROLES, Pipeline  # noqa: E402

EXPECTED = {scenario.name: scenario.expected for scenario in SCENARIOS}
VERSION = "33.0.2"
#: Limits of a test that plays all scenarios or waits for them, and of the time in which the harness prints nothing: how
#: long all scenarios take depends on the other work of the machine.
_PLAY_SECONDS, _SILENT_SECONDS = 4800, 600
ScenarioResults = dict[str, dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow the test that plays all scenarios first, and those that wait for it, more than the usual time."""
    for item in items:
        if "scenario_results" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(_PLAY_SECONDS))


@pytest.fixture(scope="session")
def shared_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of the run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if hasattr(request.config, "workerinput") else base) / "nova"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def nova_python() -> Path:
    """Python of Nova's environment, which has this checkout's driver installed; created if it does not exist."""
    folder = Path(os.environ.get("STUMBLE_NOVA_VENV") or ROOT / f".venv-nova-{VERSION}")
    command = [sys.executable, str(ROOT / "scripts" / "nova_env.py"), "--nova", VERSION, "--venv", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def harness(nova_python: Path) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that runs the harness: ``harness("--tour", "--format", "both") -> results``.

    `path` names a folder with more libraries for Nova's Python.
    """

    def run(*arguments: str, path: str = "") -> list[dict[str, Any]]:
        folders = os.pathsep.join(filter(None, (str(ROOT / "tests" / "nova"), path)))
        environment = {**os.environ, "PYTHONPATH": folders, "PYTHONWARNINGS": "ignore"}
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            command = [str(nova_python), "-m", "novaharness", *arguments]
            with subprocess.Popen(command, stdout=output, stderr=errors, env=environment) as process:
                wait_while_it_prints(process, output)
            output.seek(0)
            errors.seek(0)
            results = [json.loads(line) for line in output]
            assert process.returncode == any("error" in result for result in results), errors.read()[-4000:]
            return results

    return run


def wait_while_it_prints(process: subprocess.Popen[bytes], output: IO[str]) -> None:
    """Wait until the harness ends, also if it must be ended because it prints nothing for too long."""
    size, deadline = -1, 0.0
    try:
        while process.poll() is None:
            if (printed := os.fstat(output.fileno()).st_size) != size:
                size, deadline = printed, time.monotonic() + _SILENT_SECONDS
            assert time.monotonic() < deadline, f"the harness printed nothing for {_SILENT_SECONDS} s"
            time.sleep(0.5)
    finally:
        process.kill()


@pytest.fixture(scope="session")
def scenario_results(
    harness: Callable[..., list[dict[str, Any]]],
    shared_folder: Path,
    request: pytest.FixtureRequest,
) -> Callable[..., ScenarioResults]:
    """Return ``scenario_results(name, *arguments)``: per scenario Nova's `result` and stumble's `items` of its request.

    The first worker plays the scenarios; the others read its results.
    """

    def load_or_play(name: str, *arguments: str) -> ScenarioResults:
        file = shared_folder / f"{name}.json"
        with (shared_folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not file.exists():
                new_database = request.getfixturevalue("new_database")
                kafka = request.getfixturevalue("kafka")
                file.write_text(
                    json.dumps(play_or_error(harness, shared_folder / name, kafka, new_database(), arguments))
                )
        results: ScenarioResults = json.loads(file.read_text())
        assert "broken" not in results, results["broken"]["error"]
        return results

    return load_or_play


def play_or_error(*arguments: Any) -> ScenarioResults:
    """Play; an error is stored too, so that the run isn't repeated for every scenario."""
    try:
        return play(*arguments)
    except (AssertionError, LocalError, subprocess.SubprocessError, OSError) as error:
        return {"broken": {"error": str(error)}}


def play(
    harness: Callable[..., list[dict[str, Any]]], state: Path, kafka: str, database: str, arguments: tuple[str, ...]
) -> ScenarioResults:
    """Play scenarios through their own pipeline, query its API for each, and save the evidence of the run."""
    prefix, evidence_folder = f"nova-{uuid.uuid4().hex[:8]}-", state / "evidence"
    pipeline = Pipeline(
        state, bootstrap_servers=kafka, database_url=database, topic_prefix=prefix, roles=(*ROLES, "alerter")
    )
    with pipeline:
        with evidence.Watch(pipeline.outbox, database, evidence_folder):
            harness_options = (
                "--witness",
                str(evidence_folder / "witness.json"),
                "--log",
                str(evidence_folder / "nova.log"),
            )
            results = harness("--stumble", f"outbox_dir={pipeline.outbox}", *harness_options, *arguments)
            wait_until_expected(pipeline, results)
        evidence.collect(pipeline, results, evidence_folder)
        return {result["scenario"]: {"result": result, "items": records_of(pipeline, result)} for result in results}


def records_of(pipeline: Pipeline, result: dict[str, Any]) -> list[Any]:
    """Return stumble's records of the request of a harness's result."""
    return judge.of_scenario(pipeline.requests(result["request_id"] or "none"), result)


def wait_until_expected(pipeline: Pipeline, results: list[dict[str, Any]], timeout: float = 180) -> None:
    """Wait until the store has the expected record of every scenario, or `timeout` seconds are over."""
    deadline = time.monotonic() + timeout
    for result in results:
        if "error" in result:
            continue
        expected = EXPECTED[result["scenario"]]
        while judge.differences(expected, records_of(pipeline, result)) and time.monotonic() < deadline:
            pipeline.require_running()
            time.sleep(0.2)
