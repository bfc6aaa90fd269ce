"""kill -9 of a real nova-compute during requests, and the stored records after it has started again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.nova.pipeline import Pipeline
from tests.nova.services import report, restarts, table
from tests.nova.services.cloud import Services

pytestmark = pytest.mark.xdist_group("separate services")


@pytest.fixture(scope="module")
def restart_results(services: Services, pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    """Play the short part of the table; ``make nova-restart`` plays the whole."""
    return restarts.run(services, pipeline, [one for one in table.RESTARTS if one.quick])


@pytest.mark.parametrize("name", [one.name for one in table.RESTARTS if one.quick])
def test_record_is_as_expected_after_the_restart(name: str, restart_results: dict[str, dict[str, Any]]) -> None:
    result = restart_results[name]
    assert result["wrong"] == [], result
    assert result["seconds"] is not None


def test_periodic_offload_is_a_separate_request_without_a_user(services: Services, pipeline: Pipeline) -> None:
    server, _ = services.create("host1")
    services.wait_state(server, "active")
    services.act(server, table.SHELVE)
    services.wait_state(server, "shelved_offloaded")

    def finished_requests() -> dict[str, dict[str, Any]] | None:
        items = {item["action"]: item for item in restarts.history(pipeline, server)}
        done = {name for name, item in items.items() if item["outcome"] == "SUCCEEDED"}
        return items if {"shelve", "shelveOffload"} <= done else None

    items = services.wait_for(finished_requests, "shelve and its offload")
    assert set(items) == {"create", "shelve", "shelveOffload"}
    assert items["shelveOffload"]["request_id"] != items["shelve"]["request_id"]
    assert items["shelveOffload"]["initiator_user_id"] is None
    assert items["shelve"]["initiator_user_id"] == "root"


def test_restart_names_are_unique_and_cover_the_main_actions() -> None:
    names = [one.name for one in table.RESTARTS]
    assert len(set(names)) == len(names)
    required = {"create", "rebuild", "resize", "live-migration", "stop", "reboot", "createImage"}
    assert required <= {one.expected.action for one in table.RESTARTS if one.quick}


def test_page_matches_the_restart_table() -> None:
    stored = json.loads(report.RESULTS_FILE.read_text())
    assert stored["table"] == report.table_hash(), "run make nova-restart: the table has changed since"
    assert set(stored["restarts"]) == {one.name for one in table.RESTARTS}
    assert [name for name, row in stored["restarts"].items() if not row["right"]] == []
    assert report.PAGE.read_text() == report.page(stored["restarts"])
