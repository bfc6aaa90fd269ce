"""Settings of the clock: when silence means that a request is stalled (``STUMBLE_CLOCK__…``, ``[clock]``)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from stumble.settings.types import Seconds


class ClockSettings(BaseModel):
    """What the projector's clock goes by. Lengths of time are seconds, or ``20m``, ``2h``, ``1d``."""

    model_config = ConfigDict(extra="forbid")

    deadlines: dict[str, Seconds] = Field(
        default_factory=dict,
        description="Silence after which an action is stalled, by action, where it is not docs/outcomes.md's.",
    )
    silent_after: Seconds = Field(600, description="Silence after which a host counts as dead.")
    settle: Seconds = Field(60, description="How long a partition must have been read to its end before it is judged.")
    look_every: Seconds = Field(2, description="How often the clock looks.")
    start_takes: Seconds = Field(45, description="What a compute that does not tell is given to take up old work.")
