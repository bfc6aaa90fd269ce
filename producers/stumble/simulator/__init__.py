"""Simulates a Nova fleet from a seed: emits its events, and records the true outcome of each request.

Start reading at ``run``. Imports ``settings``, ``translate``, ``wire``.
"""

from stumble.simulator.disturb import Disturbance
from stumble.simulator.run import Runner, SimulationReport, SimulatorError
from stumble.simulator.stream import Item, Stream, StreamSettings
from stumble.simulator.truth import TrueFailure, Truth

__all__ = [
    "Disturbance",
    "Item",
    "Runner",
    "SimulationReport",
    "SimulatorError",
    "Stream",
    "StreamSettings",
    "TrueFailure",
    "Truth",
]
