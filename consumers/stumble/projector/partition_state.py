"""What a partition does, or why it is not read: one list for the loop, /readyz, the log and `stumble offsets show`.

Decisions look at the state and its offset. Text is made here, at the edge, and nothing ever compares it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PartitionState(Enum):
    """A partition's state. The value is what `offsets show --format json` prints."""

    READING = "READING"
    #: The store has no offset of it.
    NEVER_READ = "NEVER_READ"
    #: The store or the broker can't say yet where to start.
    NO_START_OFFSET = "NO_START_OFFSET"
    #: A record's schema can't be looked up.
    REGISTRY_UNAVAILABLE = "REGISTRY_UNAVAILABLE"
    #: So many records are bad that something else must be wrong, or the dead letter topic does not accept one.
    BAD_RECORDS = "BAD_RECORDS"
    #: The broker has deleted the next record.
    OFFSET_EXPIRED = "OFFSET_EXPIRED"
    #: The topic ends before the next record: it was cut back or restored.
    OFFSET_BEYOND_END = "OFFSET_BEYOND_END"
    #: Another topic has the name now.
    TOPIC_RECREATED = "TOPIC_RECREATED"
    #: The topic has no such partition.
    PARTITION_MISSING = "PARTITION_MISSING"

    @property
    def needs_operator(self) -> bool:
        """Whether it stays like this until `stumble offsets resume`."""
        return self in (self.OFFSET_EXPIRED, self.OFFSET_BEYOND_END, self.TOPIC_RECREATED)

    @property
    def retry_seconds(self) -> float:
        """How long the projector waits before it looks again."""
        return 1.0 if self is self.NO_START_OFFSET else 5.0


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition's state and what explains it.

    ``stored`` is the next offset by the store, or that of the bad record. ``detail`` is what another system said: the
    registry's error, the broker's refusal.
    """

    topic: str
    partition: int
    state: PartitionState
    stored: int | None = None
    detail: str = ""


_DESCRIPTIONS = {
    PartitionState.READING: "reading",
    PartitionState.NEVER_READ: "not read yet",
    PartitionState.NO_START_OFFSET: "waiting for its start offset (store or broker unavailable)",
    PartitionState.REGISTRY_UNAVAILABLE: "waiting for the schema registry: {detail}",
    PartitionState.BAD_RECORDS: "stopped at offset {stored}: {detail}",
    PartitionState.OFFSET_EXPIRED: "the broker has deleted offset {stored}, which is next",
    PartitionState.OFFSET_BEYOND_END: "the topic ends before offset {stored}, which is next: it was cut or restored",
    PartitionState.TOPIC_RECREATED: "the topic was deleted and created again: records from offset {stored} on are lost",
    PartitionState.PARTITION_MISSING: "the topic has no such partition",
}


def compare_offsets(stored: int, low: int, high: int) -> PartitionState:
    """Return what a stored offset means in a topic that holds `low` up to `high` (exclusive)."""
    if stored < low:
        return PartitionState.OFFSET_EXPIRED
    return PartitionState.OFFSET_BEYOND_END if stored > high else PartitionState.READING


def describe(status: PartitionStatus) -> str:
    """Return what is the matter, as a clause without a full stop."""
    return _DESCRIPTIONS[status.state].format(stored=status.stored, detail=status.detail.rstrip("."))


def log_line(status: PartitionStatus) -> str:
    """Return the sentence for the log and /readyz: which partition, what is the matter, what to run."""
    text = f"Partition {status.partition} of {status.topic}: {describe(status)}."
    if status.state.needs_operator:
        text += (
            f" To continue, run `stumble offsets resume --partition {status.partition}` (--dry-run shows from where)."
        )
    return text
