"""The producer of a process, which the driver's instances and the tap share."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from stumble.emitter import Emitter
from stumble.nova import service, sightings
from stumble.nova.options import NovaOptions
from stumble.translate import Translation, read_notification, read_tap
from stumble.translate.skip import MALFORMED, NO_IDENTITY
from stumble.translate.tap import failure_of

Event = dict[str, Any]

LOG = logging.getLogger(__name__)

_COMPUTE = "nova-compute"
#: Fields of a failure that depend on the module of each class in the chain, which only the objects show.
_SEEN_BY_OBJECT = ("module", "blame", "retryable", "reason")
_LOGGED_SKIPS = (MALFORMED, NO_IDENTITY)


class Producer:
    """Translates signals to events and appends them to the outbox. No method raises or waits."""

    def __init__(self, settings: NovaOptions, conf: Any) -> None:
        self.settings = settings
        self.service = service.of_process(conf)
        self.skipped: Counter[str] = Counter()
        self._conf = conf
        self._hypervisor = service.hypervisor_type(conf)
        self.emitter = Emitter(
            settings.outbox_dir,
            service=self.service or "nova",
            host=self.host,
            cell=settings.cell,
            region=settings.region,
            labels=dict(settings.labels),
            durability=settings.durability,
            tracebacks=settings.tracebacks,
            about={"tap": "off"},
        )

    @property
    def host(self) -> str:
        """Nova's name of the host; differs between threads if one process runs several hosts."""
        return str(self._conf.host) if "host" in self._conf else ""

    def emit_notification(self, ctxt: Any, msg: Any, priority: str | None) -> None:
        """Emit the events of one notification."""
        exc = sys.exc_info()[1]
        failing = None if exc is None else sightings.failing_event(exc)
        translation = read_notification(msg, ctxt, priority, failing=failing)
        if exc is not None and translation.events and translation.events[0]["failure"] is not None:
            translation = Translation(with_sighting(translation.events, sightings.describe_exception(exc)))
        self._emit(translation, str(msg.get("event_type")) if isinstance(msg, Mapping) else "?")

    def emit_call(self, call: Mapping[str, Any], ctxt: Mapping[str, Any]) -> None:
        """Emit the event of one call that the tap saw."""
        self._emit(read_tap(call, ctxt), str(call.get("kind")))

    def _emit(self, translation: Translation, what: str) -> None:
        if translation.skipped is not None:
            self.skipped[translation.skipped] += 1
            if translation.skipped in _LOGGED_SKIPS and self.skipped[translation.skipped] == 1:
                LOG.warning(
                    "stumble cannot read %r (%s); later ones with this reason are only counted.",
                    what,
                    translation.skipped,
                )
        for event in translation.events:
            if event["service"] == _COMPUTE:
                event["hypervisor_type"] = self._hypervisor
            self.emitter.emit(event)


def with_sighting(events: list[Event], handled: Mapping[str, Any]) -> list[Event]:
    """Add what only the exception object that is being handled shows, if the notification shows its class.

    ``handled`` describes it as ``sightings.describe_exception`` does; ``events`` are those of one failure.
    """
    if str(handled["class"]).removesuffix("_Remote") != events[0]["failure"]["exception"]:
        return events
    seen = failure_of(handled)
    for event in events:
        event["failure_id"] = handled["token"]
        if seen is not None:
            event["failure"].update({name: seen.record[name] for name in _SEEN_BY_OBJECT})
            event["failure"]["chain"] = seen.record["chain"] or event["failure"]["chain"]
            if seen.remote:
                event["attributes"] = {**event["attributes"], "remote": "true"}
    return events
