"""The states of a partition, for the loop, /readyz, the log and `stumble offsets show`.

Code compares states and offsets only. The texts are made here, and nothing compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

#: A transaction that is open for longer is reported, seconds: Kafka's default time-out of a transaction.
OPEN_TRANSACTION_SECONDS = 60.0


class PartitionState(Enum):
    """A partition's state.

    The value is what the store has in `offsets.stopped_state` and `partition_states.state`, and what
    `offsets show --format json` prints.
    """

    READING = "READING"
    #: The store has no offset of the partition.
    NEVER_READ = "NEVER_READ"
    #: The store or the broker has not returned the start offset yet.
    NO_START_OFFSET = "NO_START_OFFSET"
    #: Kafka does not answer.
    KAFKA_UNAVAILABLE = "KAFKA_UNAVAILABLE"
    #: A record's schema can't be looked up.
    REGISTRY_UNAVAILABLE = "REGISTRY_UNAVAILABLE"
    #: So many records are bad that something else must be wrong, or the dead letter topic does not accept one.
    BAD_RECORDS = "BAD_RECORDS"
    #: The broker returns bytes that are no valid batch of records.
    DAMAGED_BATCH = "DAMAGED_BATCH"
    #: A transaction has been open for more than a minute, so Kafka does not return what follows its first record.
    OPEN_TRANSACTION = "OPEN_TRANSACTION"
    #: The broker has deleted the next record.
    OFFSET_EXPIRED = "OFFSET_EXPIRED"
    #: The topic ended before the next record, even if it has grown since: it was truncated or restored.
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
    def is_of_next_record(self) -> bool:
        """Whether the next record is the reason, so that the records before it can still be stored."""
        return self in (self.REGISTRY_UNAVAILABLE, self.DAMAGED_BATCH)

    @property
    def retry_seconds(self) -> float:
        """Seconds until the projector checks the partition again."""
        return 1.0 if self is self.NO_START_OFFSET else 5.0


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition's state and its explanation.

    ``stored`` is the store's next offset; for a partition that stopped while it was read, the offset of the stop.
    ``detail`` is the reason as text: an error of Kafka's client, of the registry or of the dead letter topic, or the
    circuit breaker's. ``leader_epoch`` is Kafka's leader epoch of the record before ``stored``. ``since`` is when a
    projector stored a state that needs an operator.
    """

    topic: str
    partition: int
    state: PartitionState
    stored: int | None = None
    detail: str = ""
    leader_epoch: int | None = None
    since: datetime | None = None


_DESCRIPTIONS = {
    PartitionState.READING: "reading",
    PartitionState.NEVER_READ: "not read yet",
    PartitionState.NO_START_OFFSET: "waiting for its start offset (store or broker unavailable)",
    PartitionState.KAFKA_UNAVAILABLE: "waiting for Kafka, which does not answer",
    PartitionState.REGISTRY_UNAVAILABLE: "waiting for the schema registry: {detail}",
    PartitionState.BAD_RECORDS: "stopped at offset {stored}: {detail}",
    PartitionState.DAMAGED_BATCH: "the broker holds a damaged batch at offset {stored} ({detail})",
    PartitionState.OPEN_TRANSACTION: "waiting for an open transaction at offset {stored}",
    PartitionState.OFFSET_EXPIRED: "the broker has deleted the next offset, {stored}",
    PartitionState.OFFSET_BEYOND_END: "the topic ended before the next offset, {stored}: it was truncated or restored",
    PartitionState.TOPIC_RECREATED: "the topic was deleted and created again: records from offset {stored} on are lost",
    PartitionState.PARTITION_MISSING: "the topic has no such partition",
}


#: What to do where the projector then continues by itself.
_REPAIR = {
    PartitionState.KAFKA_UNAVAILABLE: "Compare the projector's settings of Kafka with those of this command.",
    PartitionState.REGISTRY_UNAVAILABLE: "Start the schema registry, or correct its address: then reading continues.",
    PartitionState.BAD_RECORDS: "Repair the cause: the projector tries the record again every few seconds.",
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
    todo = what_to_do(status)
    return f"Partition {status.partition} of {status.topic}: {describe_status(status)}.{f' {todo}' if todo else ''}"


def what_to_do(status: PartitionStatus) -> str:
    """Return the sentence with the operator's command; empty if there is none."""
    number = status.partition
    if status.state.needs_operator:
        return f"To continue, run `stumble offsets resume --partition {number}` (--dry-run shows from where)."
    if status.state is PartitionState.DAMAGED_BATCH:
        return (
            "Restore the batch from another replica, or skip it: `kafka-dump-log.sh` shows its last offset, and "
            f"`stumble offsets set --partition {number} --to N --skip` continues at the offset N after it."
        )
    if status.state is PartitionState.OPEN_TRANSACTION:
        return (
            "Kafka ends it after the time-out of its producer; "
            f"`kafka-transactions.sh describe-producers --topic {status.topic} --partition {number}` shows the "
            "producer's id, `kafka-transactions.sh find-hanging` whether nobody will end it."
        )
    return _REPAIR.get(status.state, "")
