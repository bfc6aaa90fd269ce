"""Models of the API's responses. Names are Nova's where Nova has one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from stumble.outcome.records import OUTCOMES, Blame, Effect, Outcome, SightingState
from stumble.runtime.times import rfc3339

Moment = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    Field(description="UTC, with microseconds.", examples=["2026-01-31T12:00:00.000000Z"]),
]

#: Outcomes that end a wait; later events can still correct them.
FINAL: frozenset[str] = frozenset(OUTCOMES)


class ApiModel(BaseModel):
    """Base of all responses: immutable, built from rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Failure(ApiModel):
    """One thing that went wrong once in a request."""

    failure_id: UUID
    request_key: UUID
    instance_uuid: UUID | None = None
    request_id: str | None = None
    action: str | None = None
    host: str | None = None
    node: str | None = None
    step: str | None = Field(None, description="Piece of work in which it happened, as Nova names it.")
    attempt: int | None = Field(None, description="Which run of that step, from 1.")
    exception: str | None = Field(None, description="Root exception class.")
    code: int | None = Field(None, description="HTTP-like code of the class; it does not imply the blame.")
    reason: str | None = Field(None, description="Text that is safe for the project's users.")
    message: str | None = Field(
        None, description="For operators only: the raw message, where `reason` does not show it. Null: it does."
    )
    blame: Blame = "UNKNOWN"
    retryable: bool | None = None
    effect: Effect = Field("UNKNOWN", description="What it did to the instance; NONE: no change.")
    occurred_at: Moment
    fingerprint: str | None = Field(None, description="Problem that it belongs to.")
    owner_project_id: str | None = None
    display_name: str | None = None
    cell: str | None = None
    region: str | None = None
    availability_zone: str | None = None
    target_kind: str | None = None
    target_id: str | None = None


class Details(ApiModel):
    """For operators only: from the event that has the most details of the failure."""

    event_id: UUID
    event_type: str | None = None
    signal: str | None = None
    publisher: str | None = None
    service: str | None = None
    exception: str | None = None
    module: str | None = None
    function: str | None = None
    chain: list[str] = Field(default=[], description="Classes of the causes inside it, outermost first.")
    message: str | None = Field(None, description="Raw message.")
    traceback: str | None = None


class FailureDetail(Failure):
    """A failure with all its details."""

    sightings: list[UUID] = Field(default=[], description="Ids of the events that show it.")
    details: Details | None = Field(None, description="Null if the event is no longer stored.")


class Sighting(ApiModel):
    """A failure seen without its server."""

    event_id: UUID
    request_id: str
    occurred_at: Moment
    host: str | None = None
    exception: str | None = None
    state: SightingState
    instance_uuid: UUID | None = Field(None, description="Its server, when it is known.")
    deadline: Moment = Field(description="Until when stumble waits for its server.")


class SightingPage(ApiModel):
    """Sightings, newest first."""

    items: list[Sighting]
    next: str | None = Field(None, description="Path of the next page, with older ones; null at the end.")


class Step(ApiModel):
    """One run of one piece of work of a request, on one host."""

    step: str | None = None
    host: str | None = None
    attempt: int | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    result: str | None = None


class Request(ApiModel):
    """One execution of one action on one instance, with its failures."""

    request_key: UUID = Field(description="Id of this request; one request id can hold several.")
    request_id: str | None = None
    global_request_id: str | None = None
    instance_uuid: UUID | None = None
    display_name: str | None = None
    action: str | None = None
    family: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    owner_project_id: str | None = None
    initiator_user_id: str | None = Field(None, description="Null: the system itself acted.")
    initiator_project_id: str | None = None
    outcome: Outcome
    final: bool = Field(description="Whether it has an outcome, so that a wait ends.")
    verdict: str | None = Field(None, description="Class with which Nova gave up, beside the causes.")
    reason: str | None = None
    message: str | None = Field(
        None, description="For operators only: the message of the failure that gave the reason, where it is not shown."
    )
    evidence: str | None = Field(None, description="Why stumble decided that it is STALLED or was interrupted.")
    effect: Effect | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    last_event_at: Moment | None = None
    updated_at: Moment = Field(description="When the store last changed it, by the database's clock.")
    linked_request_key: UUID | None = Field(None, description="The request that cancelled this one.")
    host: str | None = None
    cell: str | None = None
    region: str | None = None
    availability_zone: str | None = None
    cloud: str | None = None
    labels: dict[str, str] = {}
    failure_count: int = 0
    failures: list[Failure] = []
    steps: list[Step] = []


class FailurePage(ApiModel):
    """Failures, newest first."""

    items: list[Failure]
    next: str | None = Field(None, description="Path of the next page, with older ones; null at the end.")


class RequestPage(ApiModel):
    """Requests, newest first."""

    items: list[Request]
    next: str | None = Field(None, description="Path of the next page, with older ones; null at the end.")
    as_of: Moment = Field(description="When this was read, by the database's clock.")


class Instance(ApiModel):
    """The requests and failures of one server."""

    instance_uuid: UUID
    display_name: str | None = None
    owner_project_id: str | None = None
    last_request: Request | None = None
    last_failure: Failure | None = None
    history: list[Request] = Field(description="Requests, newest first.")
    next: str | None = Field(None, description="Path of the next page, with older requests; null at the end.")
    as_of: Moment


class StreamItem(ApiModel):
    """One message of the stream: a failure or an outcome, or the correction of one."""

    kind: Literal["failure", "outcome"]
    subject_id: UUID = Field(description="failure_id or request_key.")
    revision: int = Field(
        json_schema_extra={"format": "int64"}, description="Increases, not by one; the highest of a subject is valid."
    )
    correction: bool = Field(description="An earlier revision of the subject was published.")
    status: Literal["CURRENT", "SUPERSEDED", "RETRACTED", "UNKNOWN"]
    replaced_by: UUID | None = None
    message: str | None = Field(None, description="A failure's message, for operators only, as in `/v1/failures`.")
    record: dict[str, Any] = Field(description="Fields as in the topics, times as elsewhere in this API.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="One sentence that says what to do.")
    instance: str | None = Field(None, description="Path of the request that failed.")


class Alive(ApiModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class PartitionProgress(ApiModel):
    """The projector's progress in one partition."""

    topic: str
    partition: int
    offset: int | None = None
    last_record_at: Moment | None = Field(None, description="Kafka's time of the newest record stored.")
    state: str | None = Field(
        None,
        description="What the projector says of it: READING, or why it is blocked. Null: no projector says it now.",
    )
    description: str | None = Field(None, description="The state as a clause.")
    since: Moment | None = Field(None, description="Since when it has this state.")


class Ready(ApiModel):
    """Whether responses are reliable, and how fresh they are."""

    status: Literal["ready", "stale", "unavailable"] = Field(
        description="stale: the API answers, but the projector does not store everything; `reasons` says why."
    )
    reasons: list[str] = Field(default=[], description="What is missing, one sentence each.")
    database: bool = Field(description="The database answers.")
    migrations: bool = Field(description="Its tables are those of this version.")
    lag_seconds: float | None = Field(
        None,
        description="Age in seconds of the newest stored record or producer's report. Producers report every 30 s; a "
        "much larger value means that the projector lags or that no relay runs.",
    )
    partitions: list[PartitionProgress] = []
