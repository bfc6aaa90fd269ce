"""The relay's metrics; only the main loop sets them, so that a scrape shares no data with the loop."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as PrometheusCounter

from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.outbox_tails import OutboxTails
from stumble.wire.text import clean_text

_FOLDER = ("folder", "service")
_LABEL = 64


class RelayMetrics:
    """Backlog by folder, totals of this relay, and time of its last progress."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"stumble_{name}", text, labels, registry=registry)

        def counter(name: str, text: str) -> PrometheusCounter:
            return PrometheusCounter(f"stumble_{name}", text, registry=registry)

        self._events = gauge("outbox_backlog_events", "Events accepted and not delivered yet.", _FOLDER)
        self._bytes = gauge("outbox_backlog_bytes", "Bytes of events accepted and not delivered yet.", _FOLDER)
        self._oldest = gauge(
            "outbox_oldest_unsent_seconds", "Age of the oldest event not delivered yet; 0 if there is none.", _FOLDER
        )
        self._refused = gauge(
            "outbox_refused_events", "Events that the outbox refused since the folder was created.", _FOLDER
        )
        self._folders = gauge("outbox_folders", "Process folders of this host.")
        self.sent = counter("relay_sent_events", "Events that the broker acknowledged.")
        self.rejected = counter("relay_rejected_events", "Events that the relay or the broker rejected.")
        self.quarantined = counter("relay_quarantined_records", "Damaged records, moved to quarantine or dropped.")
        self.lost_schemas = counter(
            "relay_registry_lost_schemas",
            "Times that the schema registry no longer had a schema which the relay had registered there.",
        )
        self._progress = gauge("relay_last_progress_timestamp_seconds", "When the broker last acknowledged something.")
        self._waiting = gauge(
            "relay_delivery_paused",
            "1 while the broker is unreachable or accepts nothing, so that events wait.",
        )
        self._labels: dict[str, tuple[str, str]] = {}
        self._with_backlog: set[str] = set()

    def progressed(self) -> None:
        """Set the time of the last progress to now."""
        self._progress.set_to_current_time()

    def show(self, tails: OutboxTails, *, waiting: bool) -> None:
        """Set the backlog metrics of the folders that changed or have a backlog; remove those of removed folders."""
        self._folders.set(len(tails.all()))
        self._waiting.set(waiting)
        for key in tails.unshown | self._with_backlog:
            tail = tails.find(key)
            labels = (key, clean_text(str(tail.about.get("service") or ""))[:_LABEL]) if tail else None
            if (known := self._labels.get(key)) and known != labels:
                for metric in (self._events, self._bytes, self._oldest, self._refused):
                    metric.remove(*known)
                del self._labels[key]
            self._with_backlog.discard(key)
            if tail and labels:
                self._labels[key] = labels
                self._show_folder(tail, labels)
        tails.unshown.clear()

    def _show_folder(self, tail: OutboxTail, labels: tuple[str, str]) -> None:
        events, size = tail.backlog
        oldest = tail.oldest() if size else None
        self._events.labels(*labels).set(events)
        self._bytes.labels(*labels).set(size)
        self._oldest.labels(*labels).set(max(0.0, time.time() - oldest / 1e6) if oldest else 0)
        self._refused.labels(*labels).set(tail.totals.refused)
        if size:
            self._with_backlog.add(tail.folder.key)
