"""What is published of a failure or an outcome: the fields of `ActionFailed` and `ActionOutcome`.

Revision, status and `published_at` are added by the store and the alerter. Only `reason` is published, never details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stumble.outcome.records import FAILURE_FIELDS, OUTCOME_FIELDS, SHARED_FIELDS

if TYPE_CHECKING:
    from stumble.outcome.records import FailureRecord, RequestRecord


def failure_payload(request: RequestRecord, failure: FailureRecord) -> dict[str, Any]:
    """Return the fields of `ActionFailed` for one failure of a request."""
    payload = _shared(request) | FAILURE_FIELDS.dict_of(failure)
    payload["exception"] = failure.exception or None
    return payload


def outcome_payload(request: RequestRecord) -> dict[str, Any]:
    """Return the fields of `ActionOutcome` for a request."""
    failure_ids = [failure.failure_id for failure in request.failures]
    return _shared(request) | OUTCOME_FIELDS.dict_of(request) | {"failure_ids": failure_ids}


def _shared(request: RequestRecord) -> dict[str, Any]:
    return SHARED_FIELDS.dict_of(request) | {"labels": dict(request.labels), "attributes": {}}
