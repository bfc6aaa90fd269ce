"""Settings of the dead letters (environment: `STUMBLE_DLQ_…`; file: table `[dlq]`)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from stumble.settings.base import TableSettings


class DeadLetterSettings(TableSettings):
    """When a record that comes back again and again is left where it is."""

    model_config = SettingsConfigDict(env_prefix="STUMBLE_DLQ_")

    max_replays: int = Field(3, ge=1, le=1000, description="Re-drives after which a record parks.")
