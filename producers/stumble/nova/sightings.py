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
    """Return the fields of an exception object that the translation reads."""
    kwargs = getattr(exc, "kwargs", None)
    last = None
    for last, _ in traceback.walk_tb(exc.__traceback__):  # noqa: B007 - the raising frame
        pass
    return {
        "class": type(exc).__name__,
        "module": type(exc).__module__,
        "function": last.f_code.co_name if last is not None else None,
        "message": _text(exc),
        "traceback": _traceback(exc),
        "code": kwargs.get("code") if isinstance(kwargs, dict) else None,
        "chain": cause_names(exc),
        "token": token_of(exc),
    }


def cause_names(exc: BaseException) -> list[str]:
    """Return the class names of the exceptions inside an exception, outermost first."""
    return [type(link).__name__ for link in _links(exc)]


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
    seen = {id(exc)}
    link = _inner(exc)
    while link is not None and id(link) not in seen and len(seen) <= _MAX_CHAIN:
        seen.add(id(link))
        yield link
        link = _inner(link)


def _inner(exc: BaseException) -> BaseException | None:
    inner = getattr(exc, "inner_exception", None)  # InstanceFaultRollback
    if isinstance(inner, BaseException):
        return inner
    return exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)


def _text(exc: BaseException) -> str:
    with suppress(Exception):
        return str(exc)
    return ""


def _traceback(exc: BaseException) -> str | None:
    with suppress(Exception):
        return "".join(traceback.format_exception(exc, limit=-_MAX_FRAMES))
    return None
