"""Bodies of webhook messages, as Standard Webhooks specifies or as version 4 of Alertmanager's webhook.

Sources: standard-webhooks.md (payload structure), Alertmanager docs/configuration.md (webhook_config). The text of a
failure or an outcome is ``reason`` only, never details; an alert, which is for operators, may have a message.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stumble.alerts.delivery import record_of
from stumble.wire.ids import alert_key

if TYPE_CHECKING:
    from stumble.alerts.publications import StoredPublication

_TIMES = ("occurred_at", "started_at", "finished_at", "published_at")
_TYPES = {"failure": "action.failed", "outcome": "action.outcome"}
_LABELS = ("action", "exception", "blame", "outcome", "availability_zone")
_NEVER = "0001-01-01T00:00:00Z"


def iso(micros: int) -> str:
    """Return UTC microseconds as ISO 8601."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body_of(kind: str, about: StoredPublication | dict[str, Any] | None, subscription_id: str, at: datetime) -> bytes:
    """Return the body of a message in the form ``kind``: of a publication, of an alert (a dict), else of a test."""
    if kind == "standard":
        made = _standard_alert(about) if isinstance(about, dict) else _standard(about, at)
    elif isinstance(about, dict):
        made = _version4_alert(about, subscription_id)
    else:
        made = _version4(about, subscription_id, at)
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


def data_of(row: StoredPublication) -> dict[str, Any]:
    """Return a publication's fields with times in ISO 8601."""
    record = record_of(row)
    return {name: iso(value) if name in _TIMES and value else value for name, value in record.items()}


def _standard(row: StoredPublication | None, at: datetime) -> dict[str, Any]:
    if row is None:
        return {"type": "test", "timestamp": at.isoformat(), "data": {"text": "This is a test of stumble's webhook."}}
    return {"type": _TYPES[row.kind], "timestamp": iso(row.created_us), "data": data_of(row)}


def _standard_alert(alert: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"alert.{alert['status']}", "timestamp": alert["endsAt"] or alert["startsAt"], "data": alert}


def _version4_alert(alert: dict[str, Any], subscription_id: str) -> dict[str, Any]:
    group = {name: alert[name] for name in ("problem", "rule")}
    alert = {
        **{name: alert[name] for name in ("status", "labels", "annotations", "startsAt", "generatorURL")},
        "endsAt": alert["endsAt"] or _NEVER,
        "fingerprint": alert_key(alert["rule"], alert["problem"]).replace("-", "")[:16],
    }
    key = "{}:{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in group.items()) + "}"
    return _group(alert, subscription_id, key, group)


def _version4(row: StoredPublication | None, subscription_id: str, at: datetime) -> dict[str, Any]:
    data = data_of(row) if row else {"action": "test", "reason": "This is a test of stumble's webhook."}
    is_current = row is None or row.status == "CURRENT"
    name = "StumbleTest" if row is None else "StumbleActionFailed" if row.kind == "failure" else "StumbleActionOutcome"
    labels = {"alertname": name, **{key: str(data[key]) for key in _LABELS if data.get(key)}}
    annotations = {
        key: str(data[key])
        for key in ("reason", "instance_uuid", "request_id", "display_name", "host", "revision", "status")
        if data.get(key) is not None
    }
    started = data.get("occurred_at") or data.get("started_at") or at.isoformat()
    alert = {
        "status": "firing" if is_current else "resolved",
        "labels": labels,
        "annotations": annotations,
        "startsAt": started,
        "endsAt": _NEVER if is_current else data.get("published_at", at.isoformat()),
        "generatorURL": "",
        "fingerprint": str(data.get("failure_id") or data.get("request_key") or "test").replace("-", "")[:16],
    }
    return _group(alert, subscription_id, f'{{}}:{{subscription="{subscription_id}"}}', {})


def _group(alert: dict[str, Any], subscription_id: str, key: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return the message about a group of one alert."""
    return {
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
        "status": alert["status"],
        "receiver": f"stumble-{subscription_id}",
        "groupLabels": labels,
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "",
        "alerts": [alert],
    }
