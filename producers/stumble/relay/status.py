"""``ProducerStatus`` of the relay and of every folder, for the compacted topic."""

from __future__ import annotations

import pwd
import time
from typing import Any

from stumble.outbox.counters import read_about
from stumble.outbox.folders import RELAY
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.outbox_tail import OutboxTail
from stumble.settings.base import Settings
from stumble.wire.codec import encode_record
from stumble.wire.headers import record_headers
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import PRODUCER_STATUS

_ABOUT_FIELDS = ("service", "version", "tap", "durability", "cell", "region", "cloud")


def of_folder(tail: OutboxTail, host: str) -> dict[str, Any]:
    """Return the status of one folder and the process that writes to it."""
    tail.about = read_about(tail.folder.path) or tail.about
    about, progress = tail.about, tail.progress
    labels = about.get("labels")
    events, size = tail.backlog()
    totals = tail.totals
    attributes = {"relay_host": host, "refused_failures": str(totals.refused_failures)}
    if totals.invalid:
        attributes["invalid"] = str(totals.invalid)
    return {
        "host": str(about.get("host") or host),
        "process": tail.folder.key,
        "reported_at": now_us(),
        "user": user_name(tail.folder.uid),
        **{name: str(about[name]) for name in _ABOUT_FIELDS if about.get(name) is not None},
        "labels": {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {},
        "accepted_total": max(totals.accepted, progress.done + events),
        "sent_total": progress.sent,
        "refused_total": totals.refused,
        "rejected_total": progress.rejected,
        "quarantined_total": progress.quarantined,
        "backlog_events": events,
        "backlog_bytes": size,
        "oldest_unsent_at": tail.oldest() if size else None,
        "alive": tail.alive,
        "started_at": _time(about.get("started_at")),
        "starting": about.get("starting") is True,
        "ready_at": _time(about.get("ready_at")),
        "attributes": attributes,
    }


def _time(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def of_relay(settings: Settings, statuses: list[dict[str, Any]], sent: int, version: str) -> dict[str, Any]:
    """Return the status of the relay: events sent since it started, and the backlog of all folders."""
    oldest = [status["oldest_unsent_at"] for status in statuses if status["oldest_unsent_at"] is not None]
    return {
        "host": settings.host,
        "process": RELAY,
        "reported_at": now_us(),
        "service": "stumble-relay",
        "version": version,
        "sent_total": sent,
        "backlog_events": sum(status["backlog_events"] for status in statuses),
        "backlog_bytes": sum(status["backlog_bytes"] for status in statuses),
        "oldest_unsent_at": min(oldest, default=None),
        "alive": True,
        "cell": settings.cell,
        "region": settings.region,
        "cloud": settings.cloud,
        "attributes": {"folders": str(len(statuses))},
    }


def key_of(status: dict[str, Any]) -> bytes:
    """Return the record key of a status; compaction retains the last status per key."""
    return key(status["host"], status["process"])


def key(host: str, process: str) -> bytes:
    """Return the record key of a process's statuses."""
    return f"{host}/{process}".encode("utf-8", "replace")


def framed(status: dict[str, Any], framer: Framer, topic: str) -> FramedRecord:
    """Return a status as a Kafka record. Raises ``RegistryUnavailable`` or ``SchemaRejected``."""
    headers = record_headers(PRODUCER_STATUS, f"relay:{status['host']}", new_event_id(), status["reported_at"])
    return FramedRecord(
        key_of(status), framer.prefix(topic, PRODUCER_STATUS) + encode_record(PRODUCER_STATUS, status), headers
    )


def user_name(uid: int) -> str:
    """Return a user's name, or its number if this host has no such user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def now_us() -> int:
    """Return the current time, UTC microseconds."""
    return time.time_ns() // 1000
