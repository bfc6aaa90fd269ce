"""What the derivation yields of an instance's requests, as plain frozen records.

Times are UTC microseconds. Text fields hold what the events hold; ``reason`` is safe for the project's users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

IN_PROGRESS: Final = "IN_PROGRESS"
SUCCEEDED: Final = "SUCCEEDED"
RECOVERED: Final = "RECOVERED"
FAILED: Final = "FAILED"
CANCELLED: Final = "CANCELLED"
STALLED: Final = "STALLED"

#: Every outcome that a counter counts entries into.
OUTCOMES: Final = (SUCCEEDED, RECOVERED, FAILED, CANCELLED, STALLED)

EFFECT_NONE: Final = "NONE"
EFFECT_ERROR: Final = "ERROR"
EFFECT_OTHER: Final = "OTHER"
EFFECT_UNKNOWN: Final = "UNKNOWN"
EFFECTS: Final = (EFFECT_NONE, EFFECT_ERROR, EFFECT_OTHER, EFFECT_UNKNOWN)
BLAMES: Final = ("USER", "CAPACITY", "OPERATOR", "DEPENDENCY", "RACE", "UNKNOWN")

#: Class of the one failure of a request that a restart of its service interrupted: no exception was ever raised.
INTERRUPTED: Final = "InterruptedByRestart"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One run of a step on one host. ``result``: None while it runs, else ``Success`` or ``Error`` (Nova's words)."""

    step: str
    host: str | None
    attempt: int
    started_at: int | None
    finished_at: int | None
    result: str | None


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One thing that went wrong once.

    ``exception`` is the root class without ``_Remote``, or stumble's own name where no exception was ever raised.
    ``chain`` holds the classes inside it, outermost first. ``event_ids`` are its sightings; ``detail_event_id`` is the
    one to read the raw message and traceback from.
    """

    failure_id: str
    host: str | None
    node: str | None
    step: str | None
    attempt: int | None
    exception: str
    chain: tuple[str, ...]
    code: int | None
    reason: str | None
    blame: str
    retryable: bool | None
    effect: str
    occurred_at: int
    fingerprint: str
    event_ids: tuple[str, ...]
    detail_event_id: str | None
    migration_id: str | None
    source_host: str | None
    dest_host: str | None
    cell: str | None
    region: str | None
    availability_zone: str | None


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One doing of one action on one instance.

    ``action`` is None while no signal has told it. ``finished_at`` is when the deciding signal happened, by its
    emitter's clock. ``verdict`` is the class with which Nova gave up. ``effect`` is what the last failure did to the
    instance, NONE without one. ``evidence`` says, for operators, what a decision was concluded from.
    """

    request_key: str
    instance_uuid: str
    request_id: str | None
    family: str | None
    action: str | None
    target_kind: str | None
    target_id: str | None
    global_request_id: str | None
    owner_project_id: str | None
    initiator_user_id: str | None
    initiator_project_id: str | None
    display_name: str | None
    outcome: str
    verdict: str | None
    reason: str | None
    evidence: str | None
    effect: str
    started_at: int | None
    finished_at: int | None
    last_event_at: int | None
    linked_request_key: str | None
    host: str | None
    cell: str | None
    region: str | None
    availability_zone: str | None
    cloud: str | None
    labels: Mapping[str, str]
    failures: tuple[FailureRecord, ...]
    steps: tuple[StepRecord, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the consumer concluded from clocks and silence.

    ``kind`` is ``STALLED``, ``INTERRUPTED``, or ``IN_PROGRESS`` where a stalled request is waited for again. A
    decision stands until there is news: a fact of its request that happened after ``decided_at``, or another number of
    facts than the ``evidence["facts"]`` (decimal) that it was made upon. ``evidence["host"]`` names the restarted host
    of an ``INTERRUPTED``; outcome/evidence.py reads the rest.
    """

    request_key: str
    kind: str
    decided_at: int
    evidence: Mapping[str, str] = field(default_factory=dict)
