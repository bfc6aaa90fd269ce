"""The states of a partition, for the loop, /readyz, the log and `stumble offsets show`.

Code compares states and offsets only. The texts are made here, and nothing compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PartitionState(Enum):
    """A partition's state. The value is what `offsets show --format json` prints."""

    READING = "READING"
    #: The store has no offset of the partition.
    NEVER_READ = "NEVER_READ"
    #: The store or the broker has not returned the start offset yet.
    NO_START_OFFSET = "NO_START_OFFSET"
    #: A record's schema can't be looked up.
    REGISTRY_UNAVAILABLE = "REGISTRY_UNAVAILABLE"
    #: So many records are bad that something else must be wrong, or the dead letter topic does not accept one.
    BAD_RECORDS = "BAD_RECORDS"
    #: The broker has deleted the next record.
    OFFSET_EXPIRED = "OFFSET_EXPIRED"
    #: The topic ends before the next record: it was truncated or restored.
    OFFSET_BEYOND_END = "OFFSET_BEYOND_END"
    #: The topic was deleted and created again.
    TOPIC_RECREATED = "TOPIC_RECREATED"
    #: The topic has no such partition.
    PARTITION_MISSING = "PARTITION_MISSING"

    @property
    def needs_operator(self) -> bool:
        """Whether the state lasts until an operator runs `stumble offsets resume`."""
        return self in (self.OFFSET_EXPIRED, self.OFFSET_BEYOND_END, self.TOPIC_RECREATED)

    @property
    def retry_seconds(self) -> float:
        """Seconds until the projector checks the partition again."""
        return 1.0 if self is self.NO_START_OFFSET else 5.0


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition's state and its explanation.

    ``stored`` is the store's next offset; for a partition that stopped while it was read, the offset of the stop.
    ``detail`` is the reason as text: an error of the registry or of the dead letter topic, or the circuit breaker's.
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
    PartitionState.OFFSET_EXPIRED: "the broker has deleted the next offset, {stored}",
    PartitionState.OFFSET_BEYOND_END: "the topic ends before the next offset, {stored}: it was truncated or restored",
    PartitionState.TOPIC_RECREATED: "the topic was deleted and created again: records from offset {stored} on are lost",
    PartitionState.PARTITION_MISSING: "the topic has no such partition",
}


def compare_offsets(stored: int, low: int, high: int) -> PartitionState:
    """Return what a stored offset means in a topic that holds `low` up to `high` (exclusive)."""
    if stored < low:
        return PartitionState.OFFSET_EXPIRED
    return PartitionState.OFFSET_BEYOND_END if stored > high else PartitionState.READING


def describe_status(status: PartitionStatus) -> str:
    """Return the description of a status, as a clause without a full stop."""
    return _DESCRIPTIONS[status.state].format(stored=status.stored, detail=status.detail.rstrip("."))


def log_line(status: PartitionStatus) -> str:
    """Return the sentence for the log and /readyz: the partition, its state, the command to run."""
    text = f"Partition {status.partition} of {status.topic}: {describe_status(status)}."
    if status.state.needs_operator:
        text += (
            f" To continue, run `stumble offsets resume --partition {status.partition}` (--dry-run shows from where)."
        )
    return text
