"""Reads exception objects, which only the process that raised them has."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from stumble.nova import calls

_MAX_CHAIN = 16
_MAX_FRAMES = 60
_EXTERNAL_EVENT = "external_instance_event"
_CONDUCTOR = "nova.conductor.manager"
_ATTRIBUTE = "_stumble_sighting"

_tokens: WeakKeyDictionary[BaseException, str] = WeakKeyDictionary()


def token_of(exc: BaseException) -> str | None:
    """Return one value for each exception object: its sightings in one process are one failure.

    Notifications show all attributes of Nova's own classes, so the value is stored in a weak dictionary, and as an
    attribute only if the object does not support weak references (built-in classes).
    """
    try:
        return _tokens.setdefault(exc, uuid.uuid4().hex)
    except TypeError:  # not weakly referable, or not hashable
        pass
    try:
        result = getattr(exc, _ATTRIBUTE, None)
        if not isinstance(result, str):
            result = uuid.uuid4().hex
            setattr(exc, _ATTRIBUTE, result)
    except (AttributeError, TypeError):
        return None
    return result


def describe_exception(exc: BaseException) -> dict[str, Any]:
    """Return what the translation reads of an exception object and of those inside it. No reference is kept."""
    kwargs = getattr(exc, "kwargs", None)
    last = None
    for last, _ in traceback.walk_tb(exc.__traceback__):  # noqa: B007 - the raising frame
        pass
    return _described(exc) | {
        "function": last.f_code.co_name if last is not None else None,
        "traceback": _traceback(exc),
        "code": kwargs.get("code") if isinstance(kwargs, dict) else None,
        "chain": [_described(link) for link in _links(exc)],
        "token": token_of(exc),
    }


def _described(exc: BaseException) -> dict[str, Any]:
    return {
        "class": type(exc).__name__,
        "module": type(exc).__module__,
        "message": _text(exc),
        "user_message": _user_message(exc),
    }


def inside(exc: BaseException, answers: tuple[str, ...]) -> BaseException:
    """Return the first exception of the chain that is not from ``answers`` (modules of a framework), else ``exc``."""
    for link in (exc, *_links(exc)):
        if not type(link).__module__.startswith(answers):
            return link
    return exc


def failing_event(exc: BaseException) -> tuple[str, str] | None:
    """Return instance uuid and tag of the external event at which a compute's call for several events failed.

    The notification names all events of the call; only the frame that raised shows which event was processed.
    """
    with suppress(Exception):
        for frame, _ in traceback.walk_tb(exc.__traceback__):
            if frame.f_code.co_name == _EXTERNAL_EVENT:
                result = calls.loaded(frame.f_locals.get("event"), ("instance_uuid", "tag"))
                return str(result["instance_uuid"]), str(result["tag"])
    return None


def was_at(exc: BaseException, instance_uuid: Any) -> bool:
    """Return whether the exception was raised while the conductor processed this instance, according to its frame."""
    with suppress(Exception):
        for frame, _ in traceback.walk_tb(exc.__traceback__):
            if frame.f_globals.get("__name__") == _CONDUCTOR and "instance" in frame.f_locals:
                return bool(calls.loaded(frame.f_locals["instance"], ("uuid",)).get("uuid") == instance_uuid)
    return False


def _links(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions inside an exception, outermost first; of each, what it carries before what it follows."""
    seen = {id(exc)}
    waiting = _inner(exc)
    while waiting and len(seen) <= _MAX_CHAIN:
        link = waiting.pop(0)
        if id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting = [*_inner(link), *waiting]


def _inner(exc: BaseException) -> list[BaseException]:
    inner = getattr(exc, "inner_exception", None)  # InstanceFaultRollback
    followed = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    return [link for link in (inner, followed) if isinstance(link, BaseException)]


def _user_message(exc: BaseException) -> str | None:
    """Return the text that Nova shows to its users, by the rule of ``exception_to_dict`` (nova/compute/utils.py)."""
    with suppress(Exception):
        text = exc.format_message()  # type: ignore[attr-defined]
        return text if isinstance(text, str) else None
    return None


def _text(exc: BaseException) -> str:
    with suppress(Exception):
        return str(exc)
    return ""


def _traceback(exc: BaseException) -> str | None:
    with suppress(Exception):
        return "".join(traceback.format_exception(exc, limit=-_MAX_FRAMES))
    return None
