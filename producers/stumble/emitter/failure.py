"""Converts an exception object to the ``failure`` of an event."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from stumble.translate.exceptions import ParsedException, parse_exception
from stumble.translate.failure import build_failure
from stumble.wire.masking import mask_secrets

_TOKEN = "_stumble_failure_id"  # noqa: S105  # the name of an attribute
_TEXTS = ("message", "reason", "traceback")
_DEPTH = 10
_FRAMES = 100


def failure_token(error: BaseException) -> str:
    """Return the id that all sightings of this exception object share within the process."""
    result = getattr(error, _TOKEN, None)
    if isinstance(result, str):
        return result
    token = str(uuid.uuid4())
    with suppress(Exception):  # if the exception forbids attributes, each sighting gets its own id
        setattr(error, _TOKEN, token)
    return token


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Return the ``failure`` of an event for an exception, with secrets masked."""
    last = _last_frame(error)
    return build_failure(
        parse_exception(type(error).__name__, _message(error), type(error).__module__),
        module=type(error).__module__,
        function=last,
        traceback="".join(traceback.format_exception(error, limit=_FRAMES)),
        causes=_causes(error),
    ).record


def mask_failure(failure: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``failure`` of any origin with the secrets in its texts masked; masked texts cost nothing."""
    result = dict(failure)
    for name in _TEXTS:
        if isinstance(value := result.get(name), str):
            result[name] = mask_secrets(value)
    return result


def mask_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's attributes with secrets masked, also those that only their key shows."""
    return {
        key: mask_secrets(f"{key}={value}")[len(key) + 1 :] if isinstance(value, str) else value
        for key, value in attributes.items()
    }


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # __str__ of any class
        return ""


def _last_frame(error: BaseException) -> str | None:
    result = error.__traceback__
    while result is not None and result.tb_next is not None:
        result = result.tb_next
    return result.tb_frame.f_code.co_name if result else None


def _causes(error: BaseException) -> list[ParsedException]:
    """Return the causes of an exception, outermost first."""
    result: list[ParsedException] = []
    inner = error.__cause__
    while inner is not None and len(result) < _DEPTH:
        result.append(parse_exception(type(inner).__name__, _message(inner), type(inner).__module__))
        inner = inner.__cause__
    return result
