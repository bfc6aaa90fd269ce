"""The records as pydantic models, for people who write or check them in Python. Times are aware datetimes.

The Avro files are the source of truth; a test holds these models to them, field by field.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _from_micros(value: object) -> object:
    return datetime.fromtimestamp(value / 1_000_000, UTC) if isinstance(value, int) else value


def _to_micros(value: datetime) -> int:
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its zone")
    return value.astimezone(UTC)


#: UTC; integers are microseconds since 1970, which is also what ``model_dump`` gives.
Micros = Annotated[datetime, BeforeValidator(_from_micros), AfterValidator(_aware), PlainSerializer(_to_micros)]


class Phase(StrEnum):
    """Phase of a request or step."""

    UNKNOWN = "UNKNOWN"
    START = "START"
    PROGRESS = "PROGRESS"
    END = "END"
    ERROR = "ERROR"


class Scope(StrEnum):
    """What an event is about."""

    UNKNOWN = "UNKNOWN"
    REQUEST = "REQUEST"
    STEP = "STEP"
    INSTANCE = "INSTANCE"


class SourceKind(StrEnum):
    """Which kind of signal an event translates."""

    UNKNOWN = "UNKNOWN"
    VERSIONED = "VERSIONED"
    LEGACY = "LEGACY"
    TAP = "TAP"
    LIBRARY = "LIBRARY"


class CodeSource(StrEnum):
    """Where a failure's code came from."""

    UNKNOWN = "UNKNOWN"
    SOURCE = "SOURCE"
    TAXONOMY = "TAXONOMY"


class Blame(StrEnum):
    """Whose problem a failure is."""

    UNKNOWN = "UNKNOWN"
    USER = "USER"
    CAPACITY = "CAPACITY"
    OPERATOR = "OPERATOR"
    DEPENDENCY = "DEPENDENCY"
    RACE = "RACE"


class Effect(StrEnum):
    """What a failure did to the instance."""

    UNKNOWN = "UNKNOWN"
    NONE = "NONE"
    ERROR = "ERROR"
    OTHER = "OTHER"


class Outcome(StrEnum):
    """Outcome of a request."""

    UNKNOWN = "UNKNOWN"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    RECOVERED = "RECOVERED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    STALLED = "STALLED"


class RecordStatus(StrEnum):
    """Whether a published subject still stands."""

    UNKNOWN = "UNKNOWN"
    CURRENT = "CURRENT"
    SUPERSEDED = "SUPERSEDED"
    RETRACTED = "RETRACTED"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InstanceSnapshot(_Record):
    """State of an instance at one moment."""

    vm_state: str | None = None
    task_state: str | None = None
    power_state: str | None = None
    old_vm_state: str | None = None
    old_task_state: str | None = None
    display_name: str | None = None
    flavor: str | None = None
    image: str | None = None


class Failure(_Record):
    """One exception as one signal showed it."""

    exception: str | None = None
    module: str | None = None
    function: str | None = None
    chain: list[str] = Field(default_factory=list)
    code: int | None = None
    code_source: CodeSource = CodeSource.UNKNOWN
    reason: str | None = None
    message: str | None = None
    traceback: str | None = None
    blame: Blame = Blame.UNKNOWN
    retryable: bool | None = None


class Source(_Record):
    """Identity of a signal."""

    kind: SourceKind = SourceKind.UNKNOWN
    event_type: str | None = None
    signal: str | None = None
    message_id: str | None = None
    publisher: str | None = None
    position: int = 0


class _Who(_Record):
    instance_uuid: str | None = None
    action: str | None = None
    request_id: str | None = None
    global_request_id: str | None = None
    owner_project_id: str | None = None
    initiator_user_id: str | None = None
    initiator_project_id: str | None = None
    cell: str | None = None
    region: str | None = None
    availability_zone: str | None = None
    cloud: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    attributes: dict[str, str] = Field(default_factory=dict)


class InstanceActionEvent(_Who):
    """One phase of a request or of a step of it, as one signal of a compute service showed it."""

    event_id: str = ""
    occurred_at: Micros = _EPOCH
    emitted_at: Micros = _EPOCH
    phase: Phase = Phase.UNKNOWN
    scope: Scope = Scope.UNKNOWN
    step: str | None = None
    step_id: str | None = None
    attempt_id: str | None = None
    failure_id: str | None = None
    service: str | None = None
    host: str | None = None
    instance: InstanceSnapshot | None = None
    node: str | None = None
    hypervisor_type: str | None = None
    source_host: str | None = None
    source_node: str | None = None
    dest_host: str | None = None
    dest_node: str | None = None
    old_flavor: str | None = None
    new_flavor: str | None = None
    migration_id: str | None = None
    migration_type: str | None = None
    migration_status: str | None = None
    failure: Failure | None = None
    source: Source = Field(default_factory=Source)


class _Revisioned(_Who):
    revision: int = 0
    status: RecordStatus = RecordStatus.UNKNOWN
    replaced_by: str | None = None
    published_at: Micros = _EPOCH
    request_key: str = ""
    display_name: str | None = None
    reason: str | None = None
    effect: Effect = Effect.UNKNOWN


class ActionFailed(_Revisioned):
    """One failure of one request, for downstream systems."""

    failure_id: str = ""
    step: str | None = None
    attempt: int | None = None
    host: str | None = None
    node: str | None = None
    occurred_at: Micros = _EPOCH
    exception: str | None = None
    code: int | None = None
    blame: Blame = Blame.UNKNOWN
    retryable: bool | None = None
    fingerprint: str | None = None


class ActionOutcome(_Revisioned):
    """The outcome of one request, for downstream systems."""

    outcome: Outcome = Outcome.UNKNOWN
    verdict: str | None = None
    evidence: str | None = None
    started_at: Micros | None = None
    finished_at: Micros | None = None
    failure_ids: list[str] = Field(default_factory=list)
    linked_request_key: str | None = None


class ProducerStatus(_Record):
    """What a producer has accepted and delivered so far."""

    host: str = ""
    process: str = ""
    reported_at: Micros = _EPOCH
    service: str | None = None
    user: str | None = None
    version: str | None = None
    tap: str | None = None
    durability: str | None = None
    accepted_total: int = 0
    sent_total: int = 0
    refused_total: int = 0
    set_aside_total: int = 0
    quarantined_total: int = 0
    backlog_events: int = 0
    backlog_bytes: int = 0
    oldest_unsent_at: Micros | None = None
    alive: bool = False
    started_at: Micros | None = None
    starting: bool = False
    ready_at: Micros | None = None
    cell: str | None = None
    region: str | None = None
    cloud: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    attributes: dict[str, str] = Field(default_factory=dict)


#: Record name in the Avro files -> model.
MODELS: dict[str, type[BaseModel]] = {
    "stumble.InstanceActionEvent": InstanceActionEvent,
    "stumble.ActionFailed": ActionFailed,
    "stumble.ActionOutcome": ActionOutcome,
    "stumble.ProducerStatus": ProducerStatus,
}


def to_record(model: BaseModel) -> dict[str, Any]:
    """Return the plain dict that the codec encodes: integers of microseconds, symbols of enums."""
    return model.model_dump()
