"""What is published of a failure or an outcome, as the fields of `ActionFailed` and `ActionOutcome`.

Revision, status and `published_at` are the store's and the alerter's to add. Only `reason` is told, never details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stumble.outcome.records import FailureRecord, RequestRecord


def failure_payload(request: RequestRecord, failure: FailureRecord) -> dict[str, Any]:
    """Return the fields of `ActionFailed` for one failure of a request."""
    return {
        "failure_id": failure.failure_id,
        **_request_fields(request),
        "step": failure.step,
        "attempt": failure.attempt,
        "host": failure.host,
        "node": failure.node,
        "cell": failure.cell,
        "region": failure.region,
        "availability_zone": failure.availability_zone,
        "occurred_at": failure.occurred_at,
        "exception": failure.exception or None,
        "code": failure.code,
        "reason": failure.reason,
        "blame": failure.blame,
        "retryable": failure.retryable,
        "effect": failure.effect,
        "fingerprint": failure.fingerprint,
    }


def outcome_payload(request: RequestRecord) -> dict[str, Any]:
    """Return the fields of `ActionOutcome` for a request."""
    return {
        **_request_fields(request),
        "cell": request.cell,
        "region": request.region,
        "availability_zone": request.availability_zone,
        "outcome": request.outcome,
        "verdict": request.verdict,
        "reason": request.reason,
        "evidence": request.evidence,
        "effect": request.effect,
        "started_at": request.started_at,
        "finished_at": request.finished_at,
        "failure_ids": [failure.failure_id for failure in request.failures],
        "linked_request_key": request.linked_request_key,
    }


def _request_fields(request: RequestRecord) -> dict[str, Any]:
    return {
        "request_key": request.request_key,
        "instance_uuid": request.instance_uuid,
        "action": request.action,
        "request_id": request.request_id,
        "global_request_id": request.global_request_id,
        "owner_project_id": request.owner_project_id,
        "initiator_user_id": request.initiator_user_id,
        "initiator_project_id": request.initiator_project_id,
        "cloud": request.cloud,
        "target_kind": request.target_kind,
        "target_id": request.target_id,
        "display_name": request.display_name,
        "labels": dict(request.labels),
        "attributes": {},
    }
