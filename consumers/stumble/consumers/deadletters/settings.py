"""Settings of the dead letters (environment: `STUMBLE_DLQ_…`)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DeadLetterSettings(BaseSettings):
    """When a record that comes back again and again is left where it is."""

    model_config = SettingsConfigDict(env_prefix="STUMBLE_DLQ_", extra="ignore")

    max_replays: int = Field(3, ge=1, le=1000, description="Re-drives after which a record parks.")
