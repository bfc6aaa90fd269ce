"""The table: every way for an action to end that the tests play on real Nova, one entry each."""

from __future__ import annotations

from novaharness.table import bus, create, devices, early_returns, images, midway, moves, power, rest, special, system
from novaharness.vocabulary import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *create.SCENARIOS,
    *power.SCENARIOS,
    *moves.SCENARIOS,
    *devices.SCENARIOS,
    *images.SCENARIOS,
    *rest.SCENARIOS,
    *special.SCENARIOS,
    *bus.SCENARIOS,
    *midway.SCENARIOS,
    *system.SCENARIOS,
    *early_returns.SCENARIOS,
)
"""Every scenario; names are unique."""
