"""Models of the API's responses about dead letters."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from stumble.api.models import ApiModel, Moment
from stumble.deadletters.prediction import Outlook
from stumble.deadletters.selection import State
from stumble.deadletters.service import Done

Counts = dict[str, int]


class RecordIdModel(ApiModel):
    """Position of the original record, which could not be stored."""

    topic: str
    partition: int
    offset: int
    timestamp: Moment | None = Field(
        None, description="Kafka's time of the record; it stays the same when the record is sent again."
    )


class DeadLetterItem(ApiModel):
    """A record that could not be stored."""

    partition: int = Field(description="Of the dead letter topic.")
    offset: int = Field(description="In the dead letter topic.")
    at: Moment | None = Field(None, description="When it was written there.")
    state: State = Field(description="WAITING, REDRIVEN (sent again), PARKED (dead-lettered too often), FOREIGN.")
    stage: str = Field(description="Stage that rejected it: signature, decode, model, derive, store, crash.")
    exception: str
    reason: str = Field(description="The exception's message.")
    replays: int = Field(description="How often it had been sent again before.")
    first_seen: str | None = Field(None, description="When it was dead-lettered for the first time.")
    redriven_at: Moment | None = None
    outlook: Outlook = Field(
        description="Expected result of a redrive: NEW: it will be stored; KNOWN: nothing changes; AGAIN: it can be "
        "decoded but was rejected before; UNREADABLE: it will be dead-lettered again; UNSURE: the schema registry "
        "does not answer."
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
    """One original header of the record."""

    name: str
    text: str | None = None
    base64: str | None = None


class DeadLetterDetail(DeadLetterItem):
    """A dead letter with its bytes."""

    event: dict[str, Any] | None = Field(None, description="Null if it cannot be decoded.")
    key_base64: str | None = None
    value_base64: str | None = None
    headers: list[RawHeader]
    headers_unreadable: bool = Field(
        False, description="The record had headers that cannot be read: they are missing here, and in a redrive."
    )


class DeadLetterPage(ApiModel):
    """One page of dead letters."""

    items: list[DeadLetterItem]
    next: str | None = Field(None, description="Cursor of the next page; absent at the end.")


class DeadLetterGroupItem(ApiModel):
    """Dead letters counted together."""

    count: int
    states: Counts
    outlooks: Counts
    actions: Counts
    partitions: Counts
    first_at: Moment | None = None
    last_at: Moment | None = None
    example: str | None = Field(None, description="Position of the last of them: partition:offset.")


class ReasonGroup(DeadLetterGroupItem):
    """Dead letters of one reason."""

    stage: str
    exception: str
    message: str = Field(description="Without its varying parts.")


class DeadLetterStatsResponse(ApiModel):
    """Numbers of dead letters by reason, the most frequent first."""

    total: DeadLetterGroupItem
    reasons: list[ReasonGroup]
    looked_at: int = Field(description="Dead letters that were read, matching or not.")
    next: str | None = Field(None, description="Cursor to continue from; absent at the end.")


class RedriveOutcome(DeadLetterItem):
    """The result for one dead letter."""

    done: Done = Field(description="SENT, WOULD_SEND (dry run), SKIPPED or REFUSED (by the broker).")
    why: str


class RedriveResponse(ApiModel):
    """What a redrive did, or would do."""

    items: list[RedriveOutcome]
    dry_run: bool
    looked_at: int = Field(description="Dead letters that were read, matching or not.")
    next: str | None = Field(None, description="Cursor to continue from; absent at the end.")
    until: Moment = Field(description="Send it with the cursor: records that come back meanwhile are left out.")
