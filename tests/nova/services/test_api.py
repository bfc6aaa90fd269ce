"""nova-api under uWSGI with two workers that are recycled and killed; stumble replaced on disk during operation."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nova.pipeline import Pipeline
from tests.nova.services.cloud import Services
from tests.nova.services.load import Load, outcomes_of

pytestmark = pytest.mark.xdist_group("separate services")


@pytest.fixture(scope="module")
def servers(services: Services) -> list[str]:
    """Active servers on the compute with native threads."""
    created = [services.create("host2")[0] for _ in range(4)]
    for server in created:
        services.wait_state(server, "active")
    return created


def test_no_event_is_lost_when_workers_are_recycled_and_killed(
    services: Services, pipeline: Pipeline, servers: list[str]
) -> None:
    load = Load(services, servers)
    with load.running():
        workers = set(services.api_workers())
        load.wait(50)  # uWSGI replaces each worker after 40 requests
        killed = services.api_workers()[0]
        os.kill(killed, signal.SIGKILL)
        load.wait(50)
        after = services.api_workers()
        workers |= {killed, *after}
    assert killed not in after
    assert load.other_answers == []
    assert load.unanswered <= 4  # requests of the killed worker, and of one that was being replaced
    outcomes_by_request = outcomes_of(services, pipeline, [request for request, _ in load.answered])
    assert {request: outcomes for request, outcomes in outcomes_by_request.items() if outcomes != ["SUCCEEDED"]} == {}
    assert len(workers) > 2  # some were replaced


def test_stumble_starts_no_thread_in_any_service(services: Services, servers: list[str]) -> None:
    assert not (services.state / "threads").exists(), (services.state / "threads").read_text()


@pytest.fixture
def replaced_package(services: Services) -> Iterator[Path]:
    """Every file of stumble that the services were started from now raises when imported; restored in the end."""
    backup = services.package.with_name("stumble.before")
    shutil.copytree(services.package, backup)
    for file in services.package.rglob("*.py"):
        new_file = file.with_suffix(".new")
        new_file.write_text("raise RuntimeError('this was loaded after the upgrade')\n")
        new_file.replace(file)
    for cache in list(services.package.rglob("__pycache__")):
        shutil.rmtree(cache)
    yield services.package
    shutil.rmtree(services.package)
    backup.rename(services.package)


def test_services_continue_when_the_package_files_are_replaced(
    services: Services, pipeline: Pipeline, servers: list[str], replaced_package: Path
) -> None:
    assert replaced_package.is_dir()
    server = servers[0]
    requests = {}
    requests["stop"] = services.act(server, {"os-stop": None}).request_id
    services.wait_state(server, "stopped")
    services.set_failure("host2", f"power_on-{server}", "nova.exception.InstancePowerOnFailure", reason="no memory")
    requests["start"] = services.act(server, {"os-start": None}).request_id
    services.wait_state(server, "stopped")
    services.clear_control("host2", f"power_on-{server}")
    requests["lock"] = services.act(server, {"lock": None}).request_id
    services.act(server, {"unlock": None})
    requests["rebuild"] = services.act(
        server, {"rebuild": {"imageRef": "155d900f-4e14-4e4c-a73d-069cbf4541e6"}}
    ).request_id
    services.wait_state(server, "stopped")
    outcomes_by_request = outcomes_of(services, pipeline, requests.values())
    assert outcomes_by_request.pop(requests["start"]) == ["FAILED"]
    assert set(map(tuple, outcomes_by_request.values())) == {("SUCCEEDED",)}, outcomes_by_request
    (item,) = pipeline.requests(requests["start"])
    assert [(one["host"], one["exception"]) for one in item["failures"]] == [("host2", "InstancePowerOnFailure")]
    assert {step["step"] for step in item["steps"]} == {"compute_start_instance"}
