"""Settings of the clock: when silence means that a request is stalled (``STUMBLE_CLOCK__…``, ``[clock]``)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from stumble.settings.types import Seconds


class ClockSettings(BaseModel):
    """Settings of the projector's clock. Durations are seconds, or ``20m``, ``2h``, ``1d``."""

    model_config = ConfigDict(extra="forbid")

    deadlines: dict[str, Seconds] = Field(
        default_factory=dict,
        description="Silence after which a request is stalled, by action; defaults: docs/outcomes.md.",
    )
    silent_after: Seconds = Field(600, description="Silence after which a host counts as dead.")
    settle: Seconds = Field(
        60, description="How long a partition must have been read to its end before the clock decides."
    )
    check_interval: Seconds = Field(2, description="How often the clock checks.")
    startup_time: Seconds = Field(
        45, description="Time after its start in which a compute resumes old work, if it does not report this."
    )
    restart_confirmation: Seconds = Field(
        45,
        description="How long the reports of a host must agree that its compute has restarted before work fails by it; "
        "longer than the 30 s between two reports of a relay.",
    )
    longest_hold: Seconds = Field(
        3600,
        description="How long a host with unsent events delays the decision that requests on other hosts are stalled.",
    )
