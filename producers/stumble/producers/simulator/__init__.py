"""Seeded imitation of a Nova fleet: its signals as events, and the truth about each request beside them."""

from stumble.producers.simulator.disturb import Disturbance
from stumble.producers.simulator.run import Report, Runner, SimulatorError
from stumble.producers.simulator.stream import Item, Settings, Stream
from stumble.producers.simulator.truth import TrueFailure, Truth

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
