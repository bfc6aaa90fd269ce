"""Settings of the clock: when silence means that a request is stalled (``STUMBLE_CLOCK__…``, ``[clock]``)."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: object) -> object:
    """Read ``20m`` as 1200; a number stays one."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is no length of time: write a number and s, m, h or d, such as 20m")
    return float(match[1]) * _UNITS[match[2] or "s"]


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]


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
