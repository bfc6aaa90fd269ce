"""Settings of the dead letters (environment: `STUMBLE_DLQ_…`; file: table `[dlq]`)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from stumble.settings.base import TableSettings


class DeadLetterSettings(TableSettings):
    """When a record that is dead-lettered again and again is no longer sent."""

    model_config = SettingsConfigDict(env_prefix="STUMBLE_DLQ_")

    max_replays: int = Field(3, ge=1, le=1000, description="Number of redrives after which a record is parked.")
