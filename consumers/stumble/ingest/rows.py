"""Derived records as rows of `requests` and `failures`: JSON that one statement turns into typed columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stumble.outcome.records import FailureRecord, RequestRecord


def request_json(content: bytes, failures: int, version: int, partition: int) -> bytes:
    """Return the row of a request, made of its record as JSON; times stay microseconds, the statement converts them.

    The statement takes the columns that it knows, so the record's failures may stay in it.
    """
    return b'%b,"failure_count":%d,"version":%d,"kafka_partition":%d}' % (content[:-1], failures, version, partition)


def failure_row(request: RequestRecord, record: FailureRecord, partition: int) -> dict[str, Any]:
    """Return the row of a failure; what its request knows is repeated there, so that reading needs no join."""
    return {
        "failure_id": record.failure_id,
        "request_key": request.request_key,
        "instance_uuid": request.instance_uuid,
        "request_id": request.request_id,
        "action": request.action,
        "host": record.host,
        "node": record.node,
        "step": record.step,
        "attempt": record.attempt,
        "exception": record.exception,
        "chain": record.chain,
        "code": record.code,
        "reason": record.reason,
        "blame": record.blame,
        "retryable": record.retryable,
        "effect": record.effect,
        "occurred_at": record.occurred_at,
        "fingerprint": record.fingerprint,
        "owner_project_id": request.owner_project_id,
        "display_name": request.display_name,
        "cell": record.cell,
        "region": record.region,
        "availability_zone": record.availability_zone,
        "target_kind": request.target_kind,
        "target_id": request.target_id,
        "migration_id": record.migration_id,
        "source_host": record.source_host,
        "dest_host": record.dest_host,
        "event_ids": record.event_ids,
        "detail_event_id": record.detail_event_id,
        "kafka_partition": partition,
    }
