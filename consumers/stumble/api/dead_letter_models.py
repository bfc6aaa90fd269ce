"""What the API answers about dead letters."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stumble.api.models import ApiModel, Moment
from stumble.deadletters.prediction import Outlook
from stumble.deadletters.selection import State
from stumble.deadletters.service import Done

Counts = dict[str, int]


class RecordIdModel(ApiModel):
    """Where a record was when it could not be taken in."""

    topic: str
    partition: int
    offset: int
    timestamp: Moment | None = Field(None, description="Kafka's time of the record; it keeps it when sent again.")


class DeadLetterItem(ApiModel):
    """A record that could not be taken in."""

    partition: int = Field(description="Of the dead letter topic.")
    offset: int = Field(description="In the dead letter topic.")
    at: Moment | None = Field(None, description="When it was put there.")
    state: State = Field(description="WAITING, REDRIVEN (sent again), PARKED (came back too often), FOREIGN.")
    stage: str = Field(description="What refused it: decode, model, derive, store.")
    exception: str
    reason: str = Field(description="The exception's message.")
    replays: int = Field(description="How often it had been sent again before it came here.")
    first_seen: str | None = Field(None, description="When it could not be taken in for the first time.")
    redriven_at: Moment | None = None
    outlook: Outlook = Field(
        description="What sending it would come to: NEW is taken in, KNOWN changes nothing, AGAIN reads well but was "
        "refused before, UNREADABLE comes back, UNSURE: the schema registry does not answer."
    )
    outlook_reason: str
    action: str | None = None
    event_id: str | None = None
    instance_uuid: str | None = None
    request_id: str | None = None
    key: str | None = None
    bytes: int = Field(description="Length of the value.")
    schema_claimed: str | None = None
    origin: RecordIdModel | None = None


class RawHeader(ApiModel):
    """One header of the record, as it was."""

    name: str
    text: str | None = None
    base64: str | None = None


class DeadLetterDetail(DeadLetterItem):
    """A letter with its bytes."""

    event: dict[str, Any] | None = Field(None, description="Where it can be read.")
    key_base64: str | None = None
    value_base64: str | None = None
    headers: list[RawHeader]


class DeadLetterPage(ApiModel):
    """One page of letters."""

    items: list[DeadLetterItem]
    next: str | None = Field(None, description="Cursor of the next page; absent at the end.")


class DeadLetterGroupItem(ApiModel):
    """Letters counted together."""

    count: int
    states: Counts
    outlooks: Counts
    actions: Counts
    partitions: Counts
    first_at: Moment | None = None
    last_at: Moment | None = None
    example: str | None = Field(None, description="Place of the last of them.")


class ReasonGroup(DeadLetterGroupItem):
    """Letters of one reason."""

    stage: str
    exception: str
    message: str = Field(description="Without what differs from case to case.")


class DeadLetterStatsResponse(ApiModel):
    """How many there are, by reason, the most frequent first."""

    total: DeadLetterGroupItem
    reasons: list[ReasonGroup]
    looked_at: int = Field(description="Letters that were looked at, matching or not.")
    next: str | None = Field(None, description="Cursor where the topic goes on; absent at its end.")


class RedriveOutcome(DeadLetterItem):
    """What became of a letter."""

    done: Done = Field(description="SENT, WOULD_SEND (dry run), SKIPPED or REFUSED (by the broker).")
    why: str


class RedriveResponse(ApiModel):
    """What a re-drive did, or would do."""

    items: list[RedriveOutcome]
    dry_run: bool
    looked_at: int = Field(description="Letters that were looked at, matching or not.")
    next: str | None = Field(None, description="Cursor to go on with; absent at the end.")
    until: Moment = Field(description="Give it with the cursor, so that what comes back meanwhile is left for later.")
