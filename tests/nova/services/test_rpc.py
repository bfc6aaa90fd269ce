"""Exceptions that cross RPC between processes, over RabbitMQ: the same record as with the services in one process."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.nova.conftest import SCENARIOS, VERSION
from tests.nova.matrix import results
from tests.nova.matrix.ways import DEFAULT
from tests.nova.pipeline import Pipeline
from tests.nova.services.cloud import Services

pytestmark = pytest.mark.xdist_group("separate services")

NAMES = (
    "live migration: the source refuses",
    "live migration: the destination can't prepare",
    "live migration: the destination can't take over",
    "live migration: libvirt fails while the source is checked",
    "live migration: libvirt fails while the destination prepares",
    "changePassword fails",
)
"""Scenarios of the table whose request goes to a server on host1, and whose one fault is a method of the driver."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COMPARED = ("action", "outcome", "verdict", "effect", "reason")
COMPARED_FAILURE = ("host", "exception", "blame", "reason")


@pytest.fixture(scope="module")
def request_ids(services: Services) -> dict[str, str]:
    """Play the scenarios at the same time, each on its own server; return the request id of each."""
    chosen = {scenario.name: scenario for scenario in SCENARIOS if scenario.name in NAMES}
    servers = {name: services.create("host1", name=name)[0] for name in chosen}
    ids = {}
    for name, scenario in chosen.items():
        (fault,) = scenario.faults
        server = servers[name]
        services.wait_state(server, "active")
        function = f"{fault.where.rpartition('.')[2]}-{server}"
        host = fault.host or "host1"
        services.set_failure(host, function, fault.raises, *fault.arguments, **fault.keywords)
        path = scenario.call.path.format(server=server)
        ids[name] = services.call(scenario.call.method, path, scenario.call.body).request_id
        services.wait_reached(host, function)
    return ids


def shown(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the values of records that must be the same in both clouds; ids of servers are not."""
    values = [
        {name: item.get(name) for name in COMPARED}
        | {"failures": [{name: failure.get(name) for name in COMPARED_FAILURE} for failure in item["failures"]]}
        for item in items
    ]
    without_ids: list[dict[str, Any]] = json.loads(_UUID.sub("server", json.dumps(values)))
    return without_ids


@pytest.mark.parametrize("name", NAMES)
def test_record_over_rabbitmq_is_that_of_one_process(
    name: str, request_ids: dict[str, str], services: Services, pipeline: Pipeline
) -> None:
    expected = shown(results.items_of(VERSION, DEFAULT)[name])
    with contextlib.suppress(AssertionError):
        services.wait_for(lambda: shown(pipeline.requests(request_ids[name])) == expected, "the record", timeout=60)
    assert shown(pipeline.requests(request_ids[name])) == expected
