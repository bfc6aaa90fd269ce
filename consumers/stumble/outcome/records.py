"""The records that the derivation makes of an instance's requests. Each field is declared here and nowhere else.

Times are UTC microseconds. Text fields hold what the events hold; ``reason`` is safe for the project's users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, get_args

from stumble.outcome.columns import Column, Copies, FieldGetter, Readers, fields_in, fields_of

PROJECT, OPERATORS = Readers.PROJECT, Readers.OPERATORS
PUBLISHED = Copies.PUBLICATION
PUBLISHED_BY_BOTH = PUBLISHED | Copies.FAILURE_PUBLICATION
EVERYWHERE = PUBLISHED_BY_BOTH | Copies.FAILURE_ROW

IN_PROGRESS: Final = "IN_PROGRESS"
SUCCEEDED: Final = "SUCCEEDED"
RECOVERED: Final = "RECOVERED"
FAILED: Final = "FAILED"
CANCELLED: Final = "CANCELLED"
STALLED: Final = "STALLED"

#: Every outcome whose entries are counted.
OUTCOMES: Final = (SUCCEEDED, RECOVERED, FAILED, CANCELLED, STALLED)

EFFECT_NONE: Final = "NONE"
EFFECT_ERROR: Final = "ERROR"
EFFECT_OTHER: Final = "OTHER"
EFFECT_UNKNOWN: Final = "UNKNOWN"
Outcome = Literal["IN_PROGRESS", "SUCCEEDED", "RECOVERED", "FAILED", "CANCELLED", "STALLED"]
Effect = Literal["NONE", "ERROR", "OTHER", "UNKNOWN"]
EFFECTS: Final = get_args(Effect)
#: Who can fix a failure.
Blame = Literal["USER", "CAPACITY", "OPERATOR", "DEPENDENCY", "RACE", "UNKNOWN"]
BLAMES: Final = get_args(Blame)
#: A failure seen without its instance: waiting for it, part of a request, fitting several, or given up.
SightingState = Literal["UNJOINED", "JOINED", "AMBIGUOUS", "EXPIRED"]
SIGHTING_STATES: Final = get_args(SightingState)

#: Kind of the clock's decision about a request that a restart of its service interrupted.
INTERRUPTION: Final = "INTERRUPTED"
#: Class of the one failure of a request that a restart of its service interrupted: no exception was raised.
INTERRUPTED: Final = "InterruptedByRestart"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One run of a step on one host. ``result``: None while it runs, else ``Success`` or ``Error`` (Nova's values)."""

    step: str
    host: str | None
    attempt: int
    started_at: int | None
    finished_at: int | None
    result: str | None


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One thing that went wrong once.

    ``exception`` is the root class without ``_Remote``, or stumble's own name if no exception was raised.
    ``chain`` holds the classes inside it, outermost first. ``event_ids`` are its sightings; ``detail_event_id`` is the
    one to read the raw message and traceback from.
    """

    failure_id: Annotated[str, Column("uuid", PROJECT, PUBLISHED)]
    host: Annotated[str | None, Column("text", OPERATORS, PUBLISHED)]
    node: Annotated[str | None, Column("text", OPERATORS, PUBLISHED)]
    step: Annotated[str | None, Column("text", PROJECT, PUBLISHED, doc="Piece of work, as Nova names it.")]
    attempt: Annotated[int | None, Column("int", PROJECT, PUBLISHED, doc="Which run of that step, from 1.")]
    exception: Annotated[str, Column("text", PROJECT, PUBLISHED, doc="Root exception class.")]
    chain: Annotated[tuple[str, ...], Column("jsonb")]
    code: Annotated[int | None, Column("int", PROJECT, PUBLISHED, doc="HTTP-like code; it does not imply the blame.")]
    reason: Annotated[str | None, Column("text", PROJECT, PUBLISHED, doc="Safe for the project's users.")]
    blame: Annotated[str, Column("text", PROJECT, PUBLISHED)]
    retryable: Annotated[bool | None, Column("boolean", PROJECT, PUBLISHED)]
    effect: Annotated[str, Column("text", PROJECT, PUBLISHED, doc="What it did to the instance.")]
    occurred_at: Annotated[int, Column("timestamptz", PROJECT, PUBLISHED)]
    fingerprint: Annotated[str, Column("text", PROJECT, PUBLISHED, doc="Problem that it belongs to.")]
    event_ids: Annotated[tuple[str, ...], Column("uuid[]")]
    detail_event_id: Annotated[str | None, Column("uuid")]
    migration_id: Annotated[str | None, Column("text")]
    source_host: Annotated[str | None, Column("text")]
    dest_host: Annotated[str | None, Column("text")]
    cell: Annotated[str | None, Column("text", OPERATORS, PUBLISHED)]
    region: Annotated[str | None, Column("text", PROJECT, PUBLISHED)]
    availability_zone: Annotated[str | None, Column("text", PROJECT, PUBLISHED)]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One execution of one action on one instance.

    ``action`` is None while no signal has named it. ``finished_at`` is when the deciding signal happened, by its
    emitter's clock. ``verdict`` is the class with which Nova gave up. ``effect`` is what the last failure did to the
    instance, NONE without one. ``evidence`` is the reason of a decision, for operators.
    """

    request_key: Annotated[str, Column("uuid", PROJECT, EVERYWHERE)]
    instance_uuid: Annotated[str, Column("uuid", PROJECT, EVERYWHERE)]
    request_id: Annotated[str | None, Column("text", PROJECT, EVERYWHERE)]
    family: Annotated[str | None, Column("text", PROJECT)]
    action: Annotated[str | None, Column("text", PROJECT, EVERYWHERE)]
    target_kind: Annotated[str | None, Column("text", PROJECT, EVERYWHERE)]
    target_id: Annotated[str | None, Column("text", PROJECT, EVERYWHERE)]
    global_request_id: Annotated[str | None, Column("text", PROJECT, PUBLISHED_BY_BOTH)]
    owner_project_id: Annotated[str | None, Column("text", PROJECT, EVERYWHERE)]
    initiator_user_id: Annotated[str | None, Column("text", PROJECT, PUBLISHED_BY_BOTH, doc="Null: the system acted.")]
    initiator_project_id: Annotated[str | None, Column("text", PROJECT, PUBLISHED_BY_BOTH)]
    display_name: Annotated[str | None, Column("text", PROJECT, EVERYWHERE)]
    outcome: Annotated[str, Column("text", PROJECT, PUBLISHED)]
    verdict: Annotated[str | None, Column("text", PROJECT, PUBLISHED)]
    reason: Annotated[str | None, Column("text", PROJECT, PUBLISHED)]
    evidence: Annotated[str | None, Column("text", OPERATORS, PUBLISHED)]
    effect: Annotated[str, Column("text", PROJECT, PUBLISHED)]
    started_at: Annotated[int | None, Column("timestamptz", PROJECT, PUBLISHED)]
    finished_at: Annotated[int | None, Column("timestamptz", PROJECT, PUBLISHED)]
    last_event_at: Annotated[int | None, Column("timestamptz", PROJECT)]
    linked_request_key: Annotated[str | None, Column("uuid", PROJECT, PUBLISHED)]
    host: Annotated[str | None, Column("text", OPERATORS)]
    cell: Annotated[str | None, Column("text", OPERATORS, PUBLISHED)]
    region: Annotated[str | None, Column("text", PROJECT, PUBLISHED)]
    availability_zone: Annotated[str | None, Column("text", PROJECT, PUBLISHED)]
    cloud: Annotated[str | None, Column("text", PROJECT, PUBLISHED_BY_BOTH)]
    labels: Annotated[Mapping[str, str], Column("jsonb", OPERATORS, PUBLISHED_BY_BOTH)]
    failures: tuple[FailureRecord, ...]
    steps: Annotated[tuple[StepRecord, ...], Column("jsonb", PROJECT)]


#: A row of `failures`: fields of its request are repeated there, so that reading needs no join.
FAILURE_ROW: Final = (*fields_in(RequestRecord, Copies.FAILURE_ROW), *fields_of(FailureRecord))

#: What is published of a request in its outcome and in each of its failures.
SHARED_FIELDS: Final = FieldGetter(fields_in(RequestRecord, Copies.FAILURE_PUBLICATION))
#: What is published of a request in its outcome alone.
OUTCOME_FIELDS: Final = FieldGetter(
    field for field in fields_in(RequestRecord, PUBLISHED) if field.name not in SHARED_FIELDS.names
)
#: What is published of a failure.
FAILURE_FIELDS: Final = FieldGetter(fields_in(FailureRecord, PUBLISHED))


@dataclass(frozen=True, slots=True)
class Decision:
    """What the consumer decided from times and missing events.

    ``kind`` is ``STALLED``, ``INTERRUPTED``, or ``IN_PROGRESS`` if a stalled request is open again. A decision stands
    until its request has a fact later than ``decided_at``, or another number of facts than ``evidence["facts"]``
    (decimal), on which it was based. ``evidence["host"]`` names the restarted host of an ``INTERRUPTED``;
    outcome/evidence.py reads the rest.
    """

    request_key: str
    kind: str
    decided_at: int
    evidence: Mapping[str, str] = field(default_factory=dict)
