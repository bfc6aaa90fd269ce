"""``ProducerStatus`` of the relay and of every folder, for the compacted topic."""

from __future__ import annotations

import pwd
import time
from collections.abc import Collection, Sequence
from typing import Any

from stumble.outbox.folders import RELAY
from stumble.relay.authority import Authority
from stumble.relay.delivery import DeliveryTotals
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.outbox_tail import OutboxTail
from stumble.settings.base import Settings
from stumble.wire.codec import encode_record
from stumble.wire.headers import record_headers
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import PRODUCER_STATUS

#: 2020-01-01: no process that writes events has started before.
_FIRST_US = 1_577_836_800_000_000
_AHEAD_US = 60_000_000
#: An event waits no longer in an outbox than topics are usually retained: an older time is a wrong clock.
_LONGEST_BACKLOG_US = 7 * 86_400_000_000
_SHOWN = 100
_ABOUT_FIELDS = ("service", "version", "tap", "durability", "cell", "region", "cloud")


def of_folder(tail: OutboxTail, authority: Authority) -> dict[str, Any]:
    """Return the status of one folder and the process that writes to it.

    ``about.json`` is the claim of that process: a host that the folder may not name is replaced by the relay's, and a
    time that is not within the bounds is absent.
    """
    about, progress, totals = tail.about, tail.progress, tail.totals
    labels = about.get("labels")
    events, size = tail.backlog
    attributes = {"relay_host": authority.host, "refused_failures": str(totals.refused_failures)}
    if totals.invalid:
        attributes["invalid"] = str(totals.invalid)
    host = str(about.get("host") or "")
    if host and not authority.may_name(tail.folder.uid, host):
        attributes["claimed_host"] = host[:_SHOWN]
        host = ""
    return {
        "host": host or authority.host,
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
        "oldest_unsent_at": _oldest(tail),
        "alive": tail.alive,
        "started_at": _time(about.get("started_at")),
        "starting": about.get("starting") is True,
        "ready_at": _time(about.get("ready_at")),
        "attributes": attributes,
    }


def _time(value: object) -> int | None:
    """Return a time in UTC microseconds, or None if it is none, or is in the future by more than a minute."""
    return value if type(value) is int and _FIRST_US <= value <= now_us() + _AHEAD_US else None


def of_relay(settings: Settings, tails: Collection[OutboxTail], totals: DeliveryTotals, version: str) -> dict[str, Any]:
    """Return the status of the relay: its totals since it started, and the backlog of all folders."""
    waiting = [tail for tail in tails if tail.backlog[1]]
    oldest = [at for tail in waiting if (at := _oldest(tail)) is not None]
    return {
        "host": settings.host,
        "process": RELAY,
        "reported_at": now_us(),
        "service": "stumble-relay",
        "version": version,
        "sent_total": totals.sent,
        "rejected_total": totals.rejected,
        "quarantined_total": totals.quarantined,
        "backlog_events": sum(tail.backlog[0] for tail in waiting),
        "backlog_bytes": sum(tail.backlog[1] for tail in waiting),
        "oldest_unsent_at": min(oldest, default=None),
        "alive": True,
        "cell": settings.cell,
        "region": settings.region,
        "cloud": settings.cloud,
        "attributes": {"folders": str(len(tails))},
    }


def _oldest(tail: OutboxTail) -> int | None:
    """Return the time of a folder's oldest undelivered event (UTC microseconds), within bounds, or None."""
    oldest = tail.oldest() if tail.backlog[1] else None
    return None if oldest is None else min(max(oldest, now_us() - _LONGEST_BACKLOG_US), now_us())


def key_of(status: dict[str, Any]) -> bytes:
    """Return the record key of a status; compaction retains the last status per key."""
    return key(status["host"], status["process"])


def key(host: str, process: str) -> bytes:
    """Return the record key of a process's statuses."""
    return f"{host}/{process}".encode("utf-8", "replace")


def framed(status: dict[str, Any], framer: Framer, topic: str, marks: Sequence[tuple[str, bytes]] = ()) -> FramedRecord:
    """Return a status as a Kafka record; ``marks``: headers to add.

    Raises ``RegistryUnavailable`` or ``SchemaRejected``.
    """
    headers = record_headers(PRODUCER_STATUS, f"relay:{status['host']}", new_event_id(), status["reported_at"])
    value = framer.prefix(topic, PRODUCER_STATUS) + encode_record(PRODUCER_STATUS, status)
    return FramedRecord(key_of(status), value, [*headers, *marks])


def user_name(uid: int) -> str:
    """Return a user's name, or its number if this host has no such user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def now_us() -> int:
    """Return the current time, UTC microseconds."""
    return time.time_ns() // 1000
