"""Settings of the projector alone (environment: `STUMBLE_PROJECTOR_…`; file: table `[projector]`)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from stumble.settings.base import TableSettings
from stumble.store.retention import Retention


class ProjectorSettings(TableSettings):
    """How a projector batches, and what the store keeps for how long."""

    model_config = SettingsConfigDict(env_prefix="STUMBLE_PROJECTOR_")

    group: str = Field("stumble-projector", description="Kafka consumer group that all projectors of a store share.")
    processes: int = Field(
        1, ge=1, le=64, description="Processes that `stumble projector` runs as; they share the partitions."
    )
    core: int | None = Field(
        None,
        ge=-1,
        description="Which of its cores, from 0, a busy projector keeps to while nothing else needs it; unset: the one "
        "that it runs on, with several processes one each; -1: none.",
    )
    max_batch: int = Field(6_000, ge=1, le=100_000, description="Events in one transaction at most.")
    max_batch_bytes: int = Field(16 << 20, ge=1 << 20, description="Bytes of events in one transaction at most.")
    events_days: int = Field(90, ge=1, description="Days that raw events stay in the store.")
    requests_days: int = Field(
        400, ge=1, description="Days that requests and failures stay in the store; older events come too late."
    )
    late_events_days: int = Field(400, ge=1, description="Days that events stay which came too late to count.")
    sightings_days: int = Field(400, ge=1, description="Days that failures without an instance stay.")
    publications_days: int = Field(400, ge=1, description="Days that what was published stays in the store.")
    producers_days: int = Field(90, ge=1, description="Days that the last word of a silent producer stays.")
    sighting_patience: float = Field(3600, ge=0, description="Seconds that a failure without instance waits for one.")
    breaker_run: int = Field(
        50, ge=0, description="Bad records in a row after which a partition waits for a person; 0: never."
    )
    breaker_share: float = Field(
        0.5, gt=0, le=1, description="Share of bad records, of the last thousand, above which it waits; 1: never."
    )
    stuck_after: float = Field(
        120, gt=0, description="Seconds without progress, with work to do, until /healthz fails."
    )

    def retention(self) -> Retention:
        """Return how long the store keeps what."""
        return Retention(
            events=self.events_days,
            requests=self.requests_days,
            late_events=self.late_events_days,
            sightings=self.sightings_days,
            publications=self.publications_days,
            producers=self.producers_days,
        )
