"""Events from recorded signals, as the driver or the bridge makes them of these signals today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stumble.emitter.failure import mask_attributes, mask_failure
from stumble.nova.producer import with_sighting
from stumble.translate import read_notification, read_tap, translate_notification
from stumble.wire.schemas import EVENT

Event = dict[str, Any]
Signal = dict[str, Any]

_EMPTY: Event = {field["name"]: None for field in EVENT.parsed["fields"]} | {
    "attributes": {},
    "labels": {},
    "emitted_at": 0,
}


def driver_events(signals: Iterable[Signal]) -> list[Event]:
    """Return the events that the driver and its tap emit, in the order of time, each once."""
    return _in_order({"host": signal["host"], **_known(event)} for signal in signals for event in _of_driver(signal))


def _known(event: Event) -> Event:
    """Return an event without a host that it does not know: the emitter adds its own."""
    return event if event["host"] is not None else {name: event[name] for name in event if name != "host"}


def bridge_events(signals: Iterable[Signal]) -> list[Event]:
    """Return the events of a bridge that receives the notifications, in the order of time, each once."""
    return _in_order(
        event
        for signal in signals
        if "msg" in signal
        for event in translate_notification(signal["msg"], signal["ctxt"])
    )


def _of_driver(signal: Signal) -> list[Event]:
    if "call" in signal:
        return read_tap(signal["call"], signal["ctxt"]).events
    failing = tuple(signal["failing"]) if "failing" in signal else None
    events = read_notification(signal["msg"], signal["ctxt"], signal.get("priority"), failing=failing).events
    handled = signal.get("handled")
    return with_sighting(events, handled) if handled and events and events[0]["failure"] is not None else events


def _in_order(events: Iterator[Event]) -> list[Event]:
    """Return the events with the values that an emitter adds, without the tracebacks that only readers see."""
    by_id = {event["event_id"]: _emitted(event) for event in events}
    return sorted(by_id.values(), key=lambda one: (one["occurred_at"], one["event_id"]))


def _emitted(event: Event) -> Event:
    added: Event = {}
    if event["failure"] is not None:
        added["failure"] = {**mask_failure(event["failure"]), "traceback": None}
    if event["attributes"]:
        added["attributes"] = mask_attributes(event["attributes"])
    return {**_EMPTY, **event, **added}
