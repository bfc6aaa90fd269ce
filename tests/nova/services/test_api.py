"""nova-api under uWSGI with two workers that come and go; stumble replaced on disk below running services."""

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
    """Servers at rest on the compute with native threads."""
    made = [services.create("host2")[0] for _ in range(4)]
    for server in made:
        services.wait_state(server, "active")
    return made


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
    assert load.refused == []
    assert load.broken <= 4  # what the killed worker, and one that was being replaced, had in hand
    told = outcomes_of(services, pipeline, [request for request, _ in load.answered])
    assert {request: outcomes for request, outcomes in told.items() if outcomes != ["SUCCEEDED"]} == {}
    assert len(workers) > 2  # some did come and go


def test_stumble_starts_no_thread_in_any_service(services: Services, servers: list[str]) -> None:
    assert not (services.state / "threads").exists(), (services.state / "threads").read_text()


@pytest.fixture
def replaced(services: Services) -> Iterator[Path]:
    """Every file of stumble that the services were started from now fails to load; put back in the end."""
    aside = services.package.with_name("stumble.before")
    shutil.copytree(services.package, aside)
    for file in services.package.rglob("*.py"):
        fresh = file.with_suffix(".new")
        fresh.write_text("raise RuntimeError('this was loaded after the upgrade')\n")
        fresh.replace(file)
    for cache in list(services.package.rglob("__pycache__")):
        shutil.rmtree(cache)
    yield services.package
    shutil.rmtree(services.package)
    aside.rename(services.package)


def test_services_go_on_when_the_package_is_replaced_below_them(
    services: Services, pipeline: Pipeline, servers: list[str], replaced: Path
) -> None:
    assert replaced.is_dir()
    server = servers[0]
    requests = {}
    requests["stop"] = services.act(server, {"os-stop": None}).request_id
    services.wait_state(server, "stopped")
    services.order("host2", f"power_on-{server}", "raise nova.exception.InstancePowerOnFailure")
    requests["start"] = services.act(server, {"os-start": None}).request_id
    services.wait_state(server, "stopped")
    services.release("host2", f"power_on-{server}")
    requests["lock"] = services.act(server, {"lock": None}).request_id
    services.act(server, {"unlock": None})
    requests["rebuild"] = services.act(
        server, {"rebuild": {"imageRef": "155d900f-4e14-4e4c-a73d-069cbf4541e6"}}
    ).request_id
    services.wait_state(server, "stopped")
    told = outcomes_of(services, pipeline, requests.values())
    assert told.pop(requests["start"]) == ["FAILED"]
    assert set(map(tuple, told.values())) == {("SUCCEEDED",)}, told
    (item,) = pipeline.requests(requests["start"])
    assert [(one["host"], one["exception"]) for one in item["failures"]] == [("host2", "InstancePowerOnFailure")]
    assert {step["step"] for step in item["steps"]} == {"compute_start_instance"}
