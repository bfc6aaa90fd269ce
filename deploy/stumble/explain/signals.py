"""Reads the signals in JSON documents: notifications, calls that the tap saw, and stumble's own events.

A document is one of these, or an array of them:

- an envelope of oslo.messaging as it is on the queue, or the notification inside it; also as RabbitMQ's management
  API returns it (``payload`` is the envelope's text);
- a call of the tap (``stumble.translate.tap``), its request context under ``context``;
- ``{"note": notification, "context": …}`` or ``{"tap": call, "context": …}``, or an object with a list of them under
  ``steps``;
- ``{"msg": notification, "ctxt": …}`` or ``{"call": call, "ctxt": …}``, or an object with a list of them under
  ``signals``, as in the recordings of Nova that the tests use;
- an event of stumble, alone or as ``stumble tail --format json`` and ``stumble outbox export`` print it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stumble.bridge.envelope import unwrap_envelope
from stumble.runtime.times import EPOCH, from_micros
from stumble.translate import fields, read_notification, read_tap
from stumble.translate.result import Translation

Data = Mapping[str, Any]

#: What oslo.log writes of a context by default: ``[<global request id> <request id> <user> <project> …]``.
_LOG_CONTEXT: Final = re.compile(
    r"\[(?:(?P<global>None|-|req-[\w-]{1,64}) )?(?P<request>req-[\w-]{1,64}) (?P<user>\S+) (?P<project>\S+)[^\]]*\]"
)
_ABSENT: Final = frozenset({"-", "None"})
_EVENT_FIELDS: Final = ("event_id", "source", "phase")
_CALL_FIELDS: Final = ("kind", "instance_uuid", "function")


class RecordedSignal(NamedTuple):
    """One signal: ``kind`` is ``notification``, ``call`` or ``event``, ``name`` what its sender calls it."""

    kind: str
    name: str
    translation: Translation


class NoSignal(Exception):
    """A document that is none of the forms above; its text says what it is."""


def elements_of(document: Any) -> list[Any]:
    """Return what a document consists of: the elements of an array or of a list inside it, else the document itself."""
    if isinstance(document, list):
        return document
    if isinstance(document, Mapping):
        for name in ("steps", "signals"):
            if isinstance(elements := document.get(name), list):
                return elements
    return [document]


def signal_of(element: Any, prefix: str = "") -> RecordedSignal:
    """Return the signal of an element; ``prefix`` is the text before it in a log line. Raises ``NoSignal``."""
    if not isinstance(element, Mapping):
        raise NoSignal("JSON, but not an object")
    read = next((reader for fits, reader in _FORMS if fits(element)), None)
    if read is None:
        raise NoSignal("an object that is neither a notification nor a call nor an event")
    return read(element, prefix)


def _step(element: Data, prefix: str) -> RecordedSignal:
    context = fields.mapping(element.get("context"))
    if "tap" in element:
        return _call(element["tap"], context)
    return _notification(element["note"], context, prefix)


def _recording(element: Data, prefix: str) -> RecordedSignal:
    context = fields.mapping(element["ctxt"])
    if "msg" in element:
        return _notification(element["msg"], context, prefix)
    return _call(element["call"], context)


def _plain_notification(element: Data, prefix: str) -> RecordedSignal:
    return _notification(element, {}, prefix)


def _management_message(element: Data, prefix: str) -> RecordedSignal:
    try:
        return _notification(json.loads(element["payload"]), {}, prefix)
    except (ValueError, RecursionError):
        raise NoSignal("a message whose payload is not JSON") from None


def _plain_call(element: Data, prefix: str) -> RecordedSignal:
    del prefix
    return _call(element, fields.mapping(element.get("context")))


def _stored_event(element: Data, prefix: str) -> RecordedSignal:
    del prefix
    event = next((element[name] for name in ("event", "record") if _has(element.get(name), _EVENT_FIELDS)), element)
    source = fields.mapping(event["source"])
    name = fields.text(source.get("event_type")) or fields.text(source.get("signal")) or "event"
    return RecordedSignal("event", name, Translation([_with_times(event)]))


def _notification(message: Any, context: Data, prefix: str) -> RecordedSignal:
    try:
        body, own_context = unwrap_envelope(message)
    except (ValueError, RecursionError):
        raise NoSignal("an envelope without a notification") from None
    known = own_context or dict(context) or _log_context(prefix)
    return RecordedSignal("notification", fields.text(body.get("event_type")) or "?", read_notification(body, known))


def _call(call: Any, context: Data) -> RecordedSignal:
    function = fields.text(fields.mapping(call).get("function"))
    return RecordedSignal("call", function or "?", read_tap(call, context))


def _log_context(prefix: str) -> dict[str, str]:
    match = _LOG_CONTEXT.search(prefix)
    if match is None:
        return {}
    named = {
        "global_request_id": match["global"],
        "request_id": match["request"],
        "user_id": match["user"],
        "project_id": match["project"],
    }
    return {name: value for name, value in named.items() if value and value not in _ABSENT}


def _with_times(event: Data) -> dict[str, Any]:
    """Return an event with its times as UTC microseconds, however they were printed."""
    result = dict(event)
    for name in ("occurred_at", "emitted_at"):
        if isinstance(value := event.get(name), str):
            try:
                time = from_micros(value)
            except ValueError:
                raise NoSignal(f"an event whose {name} is not a valid time") from None
            result[name] = None if time is None else round((time - EPOCH).total_seconds() * 1e6)
    return result


def _has(value: Any, names: tuple[str, ...]) -> bool:
    return isinstance(value, Mapping) and all(name in value for name in names)


def _is_step(element: Data) -> bool:
    return "tap" in element or "note" in element


def _is_recording(element: Data) -> bool:
    return "ctxt" in element and ("msg" in element or "call" in element)


def _is_event(element: Data) -> bool:
    return any(_has(one, _EVENT_FIELDS) for one in (element, element.get("event"), element.get("record")))


def _is_call(element: Data) -> bool:
    return _has(element, _CALL_FIELDS)


def _is_management_message(element: Data) -> bool:
    return isinstance(element.get("payload"), str) and "payload_encoding" in element


def _is_notification(element: Data) -> bool:
    return "oslo.message" in element or "event_type" in element


_FORMS: Final[tuple[tuple[Callable[[Data], bool], Callable[[Data, str], RecordedSignal]], ...]] = (
    (_is_event, _stored_event),
    (_is_step, _step),
    (_is_recording, _recording),
    (_is_management_message, _management_message),
    (_is_notification, _plain_notification),
    (_is_call, _plain_call),
)
