"""``Emitter``: encodes events and appends them to the outbox, without raising into the caller."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from stumble.emitter.failure import mask_attributes, mask_failure
from stumble.emitter.scopes import ActionScope
from stumble.emitter.tracebacks import without_traceback
from stumble.outbox import Envelope, OutboxWriter, pack_record
from stumble.outbox.counters import Totals
from stumble.outbox.record import MAX_TEXT
from stumble.outbox.writer import DEFAULT_MAX_BYTES, DEFAULT_MIN_FREE
from stumble.wire.encoder import Encoder
from stumble.wire.ids import new_event_id
from stumble.wire.schemas import EVENT
from stumble.wire.topics import partition_key

LOG = logging.getLogger("stumble.emitter")
_LOG_INTERVAL_S = 60.0


class Emitter:
    """Emits the instance-action events of one service on one host.

    Every method is safe in any thread, green or native, before and after a fork; no method raises, waits for a network
    or starts a thread. ``cell``, ``region``, ``cloud`` and ``labels`` are added to events without their own values;
    ``about`` is further information for the relay (``tap="on"``). With ``tracebacks=False`` no traceback leaves the
    process. The constructor raises ``ValueError`` for an unknown durability.
    """

    def __init__(
        self,
        outbox_dir: str | Path,
        *,
        service: str,
        host: str,
        cell: str | None = None,
        region: str | None = None,
        cloud: str | None = None,
        labels: Mapping[str, str] | None = None,
        durability: str = "process",
        tracebacks: bool = True,
        max_bytes: int = DEFAULT_MAX_BYTES,
        min_free: float = DEFAULT_MIN_FREE,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        origin = {"service": service, "host": host, "cell": cell, "region": region, "cloud": cloud}
        self._publisher = f"{service}:{host}"
        self._source = {"kind": "LIBRARY", "publisher": self._publisher}
        self._encode = Encoder(json.loads(EVENT.json), {**origin, "labels": labels, "source": self._source}).encode
        self._log_again_at = 0.0
        self._tracebacks = tracebacks
        self._outbox = OutboxWriter(
            outbox_dir,
            durability=durability,
            max_bytes=max_bytes,
            min_free=min_free,
            service=service,
            about={**origin, "labels": dict(labels or {}), "version": _version(), **(about or {})},
            schemas={f"{EVENT.fingerprint.hex()}.v{EVENT.version}.avsc": EVENT.json},
        )

    def emit(self, event: Mapping[str, Any], *, traceparent: str | None = None) -> bool:
        """Append an ``InstanceActionEvent`` (times are integers of UTC microseconds); return False if it was refused.

        Missing id and times are filled in, text is bounded, and secrets in the texts of a failure and in attributes are
        masked; the caller's mapping is not changed.
        """
        try:
            record, is_failure = self._record(event, traceparent)
        except Exception as error:  # noqa: BLE001  # an invalid event must not break the service that emits it
            return self._invalid(error)
        try:
            return self._outbox.append(record, is_failure=is_failure)
        except Exception as error:  # noqa: BLE001  # nor must any other error
            return self._invalid(error)

    def action(self, instance_uuid: str, action: str, *, request_id: str | None = None, **fields: Any) -> ActionScope:
        """Return a context manager that emits events for one run of an action: its start, and its end or failure.

        ``fields`` are further fields of the event (``global_request_id``, ``owner_project_id`` ...).
        """
        return ActionScope(
            self.emit,
            {**fields, "instance_uuid": instance_uuid, "action": action, "request_id": request_id},
        )

    def describe(self, **about: Any) -> None:
        """Add information about this producer for the relay (``tap="on"``)."""
        self._outbox.describe(**about)

    def announce(self, **about: Any) -> None:
        """Announce this producer to the relay before its first event (``starting=True``): creates its outbox now."""
        self._outbox.announce(**about)

    @property
    def totals(self) -> Totals:
        """Counts of this process's events: accepted, refused, invalid."""
        return self._outbox.totals

    def _record(self, event: Mapping[str, Any], traceparent: str | None) -> tuple[bytes, bool]:
        now = time.time_ns() // 1000
        added: dict[str, Any] = {}
        event_id = event.get("event_id")
        if not event_id:
            event_id = added["event_id"] = new_event_id(now)
        occurred_at = event.get("occurred_at")
        if not occurred_at:
            occurred_at = added["occurred_at"] = now
        if not event.get("emitted_at"):
            added["emitted_at"] = now
        publisher = (event.get("source") or self._source).get("publisher") or self._publisher
        is_failure = event.get("failure") is not None or event.get("phase") == "ERROR"
        envelope = Envelope(
            EVENT.fingerprint,
            occurred_at,
            bytes.fromhex(event_id.replace("-", "")),
            (partition_key(event) or self._publisher.encode("utf-8", "replace"))[:MAX_TEXT],
            publisher.encode("utf-8", "replace")[:MAX_TEXT],
            traceparent.encode("ascii", "replace")[:MAX_TEXT] if traceparent else b"",
            is_failure,
        )
        if failure := event.get("failure"):
            masked = mask_failure(failure)
            added["failure"] = masked if self._tracebacks else without_traceback(masked)
        if attributes := event.get("attributes"):
            added["attributes"] = mask_attributes(attributes)
        return pack_record(envelope, self._encode({**event, **added})), is_failure

    def _invalid(self, error: Exception) -> bool:
        now = time.monotonic()
        if now >= self._log_again_at:
            self._log_again_at = now + _LOG_INTERVAL_S
            LOG.warning("An event was dropped because it cannot be encoded: %s: %s.", type(error).__name__, error)
        with suppress(Exception):  # an error in counting must not reach the caller either
            self._outbox.invalid()
        return False


def _version() -> str:
    try:
        return metadata.version("stumble")
    except metadata.PackageNotFoundError:
        return "0"
