"""Parses oslo.messaging's wire format: optional outer wrapper, and a message with a nested or flattened context."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_FLAT = "_context_"
_NESTED = "_context"
_OUTER = "oslo.message"


def unwrap_notification(value: bytes | str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return message and context of one notification. Raises ``ValueError`` if it is not a notification."""
    return unwrap_envelope(json.loads(value))


def unwrap_envelope(message: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Do what :func:`unwrap_notification` does, for a notification that is no longer text.

    The context is nested in Kafka messages and flattened in RabbitMQ messages. The driver ``messaging`` omits the outer
    wrapper; the wrapper contains JSON text or, from some senders, the object itself.
    """
    if isinstance(message, Mapping) and _OUTER in message:
        message = message[_OUTER]
        if isinstance(message, str):
            message = json.loads(message)
    if not isinstance(message, Mapping):
        raise ValueError("a notification is a JSON object")  # noqa: TRY004 - the same error as for any other text
    nested = message.get(_NESTED)
    context = dict(nested) if isinstance(nested, Mapping) else {}
    context |= {name[len(_FLAT) :]: item for name, item in message.items() if name.startswith(_FLAT)}
    return {name: item for name, item in message.items() if not name.startswith(_NESTED)}, context
