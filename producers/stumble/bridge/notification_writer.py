"""Translates a notification and appends its events to the outbox, before the notification is acknowledged."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from stumble.emitter import Emitter
from stumble.translate import read_notification
from stumble.translate.skip import NOT_AN_ACTION

RECEIVED = Counter("stumble_bridge_notifications_total", "Notifications read.", ["transport"])
EMITTED = Counter("stumble_bridge_events_total", "Events passed to the outbox.", ["transport"])
SKIPPED = Counter(
    "stumble_bridge_skipped_notifications_total", "Notifications without an event.", ["transport", "reason"]
)
REFUSED = Counter(
    "stumble_bridge_requeued_notifications_total",
    "Notifications not acknowledged because the outbox was full.",
    ["transport"],
)
LAST = Gauge(
    "stumble_bridge_last_notification_timestamp_seconds", "When the last notification was read.", ["transport"]
)
CONNECTED = Gauge(
    "stumble_bridge_transport_connected", "1 while the transport is connected to its server.", ["transport"]
)

_FILE_BYTES = 4 << 20


class Untranslated:
    """Records untranslated notifications: event type, ids, reason, hash; not the payload, which contains secrets."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = logging.Logger("stumble.untranslated")  # noqa: LOG001 - a separate file, without the root logger
        self._handler = RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=1, delay=True)
        self._log.addHandler(self._handler)

    def append(self, transport: str, reason: str, message: Mapping[str, Any]) -> None:
        """Append one line of JSON."""
        raw = json.dumps(message.get("payload"), sort_keys=True, default=str).encode("utf-8", "replace")
        row = {
            "at": int(time.time()),
            "transport": transport,
            "reason": reason,
            **{name: str(message.get(name))[:255] for name in ("event_type", "message_id", "publisher_id")},
            "payload_bytes": len(raw),
            "payload_sha256": hashlib.sha256(raw).hexdigest(),
        }
        self._log.warning(json.dumps(row))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


class NotificationWriter:
    """Writes the notifications of one transport, in one thread. ``refused``: the outbox refused the last one."""

    def __init__(self, transport: str, emitter: Emitter, untranslated: Untranslated) -> None:
        self._transport = transport
        self._emitter = emitter
        self._untranslated = untranslated
        self.refused = False

    def write_notification(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
        """Return whether the notification may be acknowledged: False if the outbox refused one of its events.

        A notification that is written twice gives the same event ids, so writing it again is harmless.
        """
        RECEIVED.labels(self._transport).inc()
        LAST.labels(self._transport).set_to_current_time()
        result = read_notification(message, context)
        if result.skipped:
            SKIPPED.labels(self._transport, result.skipped).inc()
            if result.skipped != NOT_AN_ACTION:
                self._untranslated.append(self._transport, result.skipped, message)
        for event in result.events:
            refused = self._emitter.totals.refused
            self.refused = not self._emitter.emit(event) and self._emitter.totals.refused > refused
            if self.refused:
                REFUSED.labels(self._transport).inc()
                return False
            EMITTED.labels(self._transport).inc()
        return True
