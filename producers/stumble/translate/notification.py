"""Translates a notification of either format, versioned or legacy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stumble.translate import fields, legacy, versioned
from stumble.translate.build import Event, SignalId
from stumble.translate.external import Failing
from stumble.translate.names import LEGACY_SERVICES
from stumble.translate.result import Translation
from stumble.translate.skip import MALFORMED, NO_IDENTITY, Skipped


def translate_notification(
    msg: Mapping[str, Any],
    ctxt: Mapping[str, Any] | None,
    priority: str | None = None,
) -> list[Event]:
    """Return the events of one notification; none if it does not concern an action of an instance. Never raises."""
    return read_notification(msg, ctxt, priority).events


def read_notification(
    msg: Any,
    ctxt: Any,
    priority: str | None = None,
    failing: Failing | None = None,
) -> Translation:
    """Translate one notification (oslo.messaging's envelope and context; neither is changed).

    ``priority`` is not used: the event type contains the same information. ``failing`` is instance uuid and tag of the
    external event at which a call for several events failed, which only the process that raised knows. Never raises:
    a message that cannot be translated gives a reason to skip it.
    """
    del priority
    try:
        return Translation(_events(fields.mapping(msg), fields.mapping(ctxt), failing))
    except Skipped as skipped:
        return Translation([], str(skipped))
    except Exception:  # noqa: BLE001 - a message may have any shape, and the caller runs inside Nova
        return Translation([], MALFORMED)


def _events(msg: Mapping[str, Any], ctxt: Mapping[str, Any], failing: Failing | None) -> list[Event]:
    event_type = fields.text(msg.get("event_type"))
    publisher = fields.text(msg.get("publisher_id"))
    message_id = fields.text(msg.get("message_id"))
    occurred_at = fields.time_us(msg.get("timestamp"))
    payload = msg.get("payload")
    if event_type is None or publisher is None or message_id is None or occurred_at is None:
        raise Skipped(NO_IDENTITY)
    if not isinstance(payload, Mapping):
        raise Skipped(MALFORMED)
    service, host = _sender(publisher)
    if "nova_object.data" in payload:
        name = versioned.name_of(event_type, payload)
        signal = SignalId("VERSIONED", event_type, name, message_id, publisher, occurred_at, service, host)
        return versioned.events(signal, payload, ctxt)
    name = legacy.name_of(event_type, payload)
    signal = SignalId("LEGACY", event_type, name, message_id, publisher, occurred_at, service, host)
    return legacy.events(signal, payload, ctxt, failing)


def _sender(publisher: str) -> tuple[str | None, str | None]:
    """Return service and host of a publisher id: ``nova-compute:host`` or, legacy, ``compute.host``."""
    service, colon, host = publisher.partition(":")
    if colon and "." not in service:
        return service or None, host or None
    service, _, host = publisher.partition(".")
    return LEGACY_SERVICES.get(service, service) or None, host or None
