"""A seeded imitation of a Nova fleet: its signals as events, and the truth about each request beside them.

Start reading at ``run``. Imports ``settings``, ``translate``, ``wire``.
"""

from stumble.simulator.disturb import Disturbance
from stumble.simulator.run import Report, Runner, SimulatorError
from stumble.simulator.stream import Item, Settings, Stream
from stumble.simulator.truth import TrueFailure, Truth

__all__ = [
    "Disturbance",
    "Item",
    "Report",
    "Runner",
    "Settings",
    "SimulatorError",
    "Stream",
    "TrueFailure",
    "Truth",
]
