"""stumble's record of every scenario on real Nova, read through its HTTP API, is as expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.nova import judge
from tests.nova.conftest import EXPECTED, SCENARIOS

TOUR = [scenario.name for scenario in SCENARIOS if scenario.tour]


def assert_as_expected(name: str, result: dict[str, Any]) -> None:
    """The scenario could be played, and the store's record of it is as expected."""
    assert "error" not in result["result"], result["result"]["error"]
    assert judge.differences(EXPECTED[name], result["items"]) == [], result


# One worker plays; a second one would only wait for it.
@pytest.mark.xdist_group("nova with the one line")
@pytest.mark.parametrize("name", list(EXPECTED))
def test_record_is_as_expected_with_the_one_line_in_nova_conf(name: str, scenario_results: Callable[..., Any]) -> None:
    result = scenario_results("default")[name]
    assert_as_expected(name, result)


@pytest.mark.xdist_group("nova with other formats")
@pytest.mark.parametrize("notification_format", ["versioned", "both"])
@pytest.mark.parametrize("name", TOUR)
def test_record_is_as_expected_with_other_notification_formats(
    name: str, notification_format: str, scenario_results: Callable[..., Any]
) -> None:
    result = scenario_results(notification_format, "--tour", "--format", notification_format)[name]
    assert_as_expected(name, result)


def test_scenario_names_are_unique() -> None:
    assert len(EXPECTED) == len(SCENARIOS)
    assert len(TOUR) >= 12
