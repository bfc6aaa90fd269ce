"""Settings of the projector alone (environment: `STUMBLE_PROJECTOR_…`; file: table `[projector]`)."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from stumble.settings.base import TableSettings
from stumble.store.retention import Retention


class ProjectorSettings(TableSettings):
    """Settings of a projector: batches, circuit breaker, and the store's retention."""

    model_config = SettingsConfigDict(env_prefix="STUMBLE_PROJECTOR_")

    group: str = Field("stumble-projector", description="Kafka consumer group that all projectors of a store share.")
    processes: int = Field(1, ge=1, le=64, description="Processes of `stumble projector`; they share the partitions.")
    core: int | None = Field(
        None,
        ge=-1,
        description="Index, from 0, of the permitted core to which a busy projector is pinned while nothing else needs "
        "it; unset: the core that it runs on, with several processes one each; -1: no pinning.",
    )
    max_batch: int = Field(6_000, ge=1, le=100_000, description="Highest number of events in one transaction.")
    max_batch_bytes: int = Field(
        16 << 20, ge=1 << 20, description="Highest number of bytes of events in one transaction."
    )
    events_days: int = Field(90, ge=1, description="Days that the store retains raw events.")
    requests_days: int = Field(
        400, ge=1, description="Days that the store retains requests and failures; older events count as late."
    )
    late_events_days: int = Field(400, ge=1, description="Days that the store retains late events.")
    sightings_days: int = Field(400, ge=1, description="Days that the store retains failures without an instance.")
    publications_days: int = Field(400, ge=1, description="Days that the store retains publications.")
    producers_days: int = Field(
        90, ge=1, description="Days that the store retains the last status of a silent producer."
    )
    sighting_patience: float = Field(3600, ge=0, description="Seconds that a failure without an instance waits for it.")
    breaker_run: int = Field(
        50, ge=0, description="Bad records in a row after which a partition stops for an operator; 0: never."
    )
    breaker_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of bad records in the last thousand that stops a partition; 1: never.",
    )
    stuck_after: float = Field(
        120, gt=0, description="Seconds without progress, although records wait, until /healthz fails."
    )

    def retention(self) -> Retention:
        """Return the store's retention."""
        return Retention(
            events=self.events_days,
            requests=self.requests_days,
            late_events=self.late_events_days,
            sightings=self.sightings_days,
            publications=self.publications_days,
            producers=self.producers_days,
        )
