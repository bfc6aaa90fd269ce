"""stumble's record of every scenario on real Nova, read through its HTTP API, is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.nova import judge
from tests.nova.conftest import EXPECTED, SCENARIOS

TOUR = [scenario.name for scenario in SCENARIOS if scenario.tour]


def assert_right(name: str, found: dict[str, Any]) -> None:
    """The scenario could be played, and the store's record of it is right."""
    assert "error" not in found["result"], found["result"]["error"]
    assert judge.differences(EXPECTED[name], found["items"]) == [], found


# One worker plays and asks; a second one would only wait for it.
@pytest.mark.xdist_group("nova with the one line")
@pytest.mark.parametrize("name", list(EXPECTED))
def test_with_the_one_line_in_nova_conf(name: str, told: Callable[..., Any]) -> None:
    found = told("default")[name]
    assert_right(name, found)


@pytest.mark.xdist_group("nova with other formats")
@pytest.mark.parametrize("notification_format", ["versioned", "both"])
@pytest.mark.parametrize("name", TOUR)
def test_whatever_the_notification_format(name: str, notification_format: str, told: Callable[..., Any]) -> None:
    found = told(notification_format, "--tour", "--format", notification_format)[name]
    assert_right(name, found)


def test_the_table_names_every_scenario_once() -> None:
    assert len(EXPECTED) == len(SCENARIOS)
    assert len(TOUR) >= 12
