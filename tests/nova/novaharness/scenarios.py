"""The table: every way for an action to end that the tests play on real Nova, one entry each."""

from __future__ import annotations

from novaharness.table import (
    after_move,
    bus,
    causes,
    clients,
    create,
    deletes,
    devices,
    early_returns,
    images,
    lost_guests,
    midway,
    moves,
    over_rpc,
    power,
    rest,
    secret_texts,
    special,
    system,
    time_outs,
)
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
    *clients.SCENARIOS,
    *time_outs.SCENARIOS,
    *lost_guests.SCENARIOS,
    *deletes.SCENARIOS,
    *causes.SCENARIOS,
    *after_move.SCENARIOS,
    *over_rpc.SCENARIOS,
    *secret_texts.SCENARIOS,
)
"""Every scenario; names are unique."""
