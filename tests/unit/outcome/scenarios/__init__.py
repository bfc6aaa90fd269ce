"""Scenarios as data: the signals of each way of ingestion, and the records that the derivation must return."""

from __future__ import annotations

from tests.unit.outcome.scenarios.builds import BUILDS
from tests.unit.outcome.scenarios.deletes import DELETES
from tests.unit.outcome.scenarios.early_returns import EARLY_RETURNS
from tests.unit.outcome.scenarios.guests import GUESTS
from tests.unit.outcome.scenarios.moves import MOVES
from tests.unit.outcome.scenarios.scenario import Scenario

SCENARIOS = [*GUESTS, *BUILDS, *DELETES, *MOVES, *EARLY_RETURNS]

__all__ = ["SCENARIOS", "Scenario"]
