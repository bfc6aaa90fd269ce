"""A few of Nova's own functional tests with driver and tap enabled; ``make nova-functional`` runs many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nova import functional

SAMPLE = (
    "compute.test_init_host.ComputeManagerInitHostTestCase",
    "compute.test_live_migration.LiveMigrationCinderFailure",
    "test_instance_actions.InstanceActionEventFaultsTestCase",
    "test_instance_actions.InstanceActionsTestV221.test_get_instance_actions_shelve_deleted",
)


def test_sample_of_novas_own_tests_passes_with_stumble(nova_python: Path, tmp_path: Path) -> None:
    names = [f"nova.tests.functional.{name}" for name in SAMPLE]
    results, events = functional.run(nova_python, names, tmp_path / "outbox")
    assert len(results) >= len(SAMPLE)
    assert {name: result for name, result in results.items() if result != "ok"} == {}
    assert events > 0


def test_stored_results_match_the_page_and_contain_the_sample() -> None:
    stored = functional.load_results()
    assert functional.PAGE.read_text() == functional.page(stored)
    assert {module: result["different"] for module, result in stored.items() if result["different"]} == {}
    passed = {name for result in stored.values() for name in result["passed"]}
    for one in SAMPLE:
        assert any(name == one or name.startswith(f"{one}.") for name in passed), f"run make nova-functional: {one}"


@pytest.mark.parametrize("module", functional.MODULES[:3])
def test_stored_results_contain_the_first_modules(module: str) -> None:
    assert functional.load_results()[module]["passed"]
