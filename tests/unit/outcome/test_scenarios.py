"""Each scenario, derived from the events of each way of ingestion."""

from __future__ import annotations

import pytest

from tests.unit.outcome import dsl
from tests.unit.outcome.scenarios import SCENARIOS, Scenario

_CASES = [pytest.param(one, way, id=f"{one.name} by {way}") for one in SCENARIOS for way in dsl.WAYS]


@pytest.mark.parametrize(("scenario", "way"), _CASES)
def test_scenario_is_derived_as_expected(scenario: Scenario, way: str) -> None:
    records = dsl.run(scenario.script, dsl.WAYS[way])
    assert dsl.summary(records) == scenario.expected_by_way.get(way, scenario.expected)
