"""A few of Nova's own functional tests with driver and tap on; ``make nova-functional`` runs many."""

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


def test_a_sample_of_nova_s_own_tests_passes_with_stumble(nova_python: Path, tmp_path: Path) -> None:
    names = [f"nova.tests.functional.{name}" for name in SAMPLE]
    results, events = functional.run(nova_python, names, tmp_path / "outbox")
    assert len(results) >= len(SAMPLE)
    assert {name: result for name, result in results.items() if result != "ok"} == {}
    assert events > 0


def test_the_kept_results_are_those_of_the_page_and_hold_the_sample() -> None:
    kept = functional.kept()
    assert functional.PAGE.read_text() == functional.page(kept)
    assert {module: found["different"] for module, found in kept.items() if found["different"]} == {}
    passed = {name for found in kept.values() for name in found["passed"]}
    for one in SAMPLE:
        assert any(name == one or name.startswith(f"{one}.") for name in passed), f"run make nova-functional: {one}"


@pytest.mark.parametrize("module", functional.MODULES[:3])
def test_the_command_has_run_the_first_modules(module: str) -> None:
    assert functional.kept()[module]["passed"]
