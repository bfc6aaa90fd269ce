"""kill -9 of a real nova-compute in the middle of its work, and what the store says after it has started again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.nova.pipeline import Pipeline
from tests.nova.services import report, restarts, table
from tests.nova.services.cloud import Services

pytestmark = pytest.mark.xdist_group("separate services")


@pytest.fixture(scope="module")
def told(services: Services, pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """Play the short part of the table; the whole is played by ``make nova-restart``."""
    return restarts.run(services, pipeline, [one for one in table.RESTARTS if one.quick])


@pytest.mark.parametrize("name", [one.name for one in table.RESTARTS if one.quick])
def test_the_record_is_right_within_a_minute_of_the_start(name: str, told: dict[str, dict[str, Any]]) -> None:
    found = told[name]
    assert found["wrong"] == [], found
    assert found["seconds"] is not None


def test_a_periodic_offload_is_a_request_of_the_system_s_own(services: Services, pipeline: Pipeline) -> None:
    server, _ = services.create("host1")
    services.wait_state(server, "active")
    services.act(server, table.SHELVE)
    services.wait_state(server, "shelved_offloaded")

    def both() -> dict[str, dict[str, Any]] | None:
        items = {item["action"]: item for item in restarts.history(pipeline, server)}
        done = {name for name, item in items.items() if item["outcome"] == "SUCCEEDED"}
        return items if {"shelve", "shelveOffload"} <= done else None

    items = services.wait_for(both, "shelve and its offload")
    assert set(items) == {"create", "shelve", "shelveOffload"}
    assert items["shelveOffload"]["request_id"] != items["shelve"]["request_id"]
    assert items["shelveOffload"]["initiator_user_id"] is None
    assert items["shelve"]["initiator_user_id"] == "root"


def test_the_table_names_every_restart_once() -> None:
    names = [one.name for one in table.RESTARTS]
    assert len(set(names)) == len(names)
    must = {"create", "rebuild", "resize", "live-migration", "stop", "reboot", "createImage"}
    assert must <= {one.expected.action for one in table.RESTARTS if one.quick}


def test_the_page_is_of_this_table() -> None:
    kept = json.loads(report.KEPT.read_text())
    assert kept["table"] == report.table_hash(), "run make nova-restart: the table has changed since"
    assert set(kept["restarts"]) == {one.name for one in table.RESTARTS}
    assert [name for name, row in kept["restarts"].items() if not row["right"]] == []
    assert report.PAGE.read_text() == report.page(kept["restarts"])
