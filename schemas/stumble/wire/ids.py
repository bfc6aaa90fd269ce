"""Ids that are functions of their source, so that a second translation or replay gives the same ids."""

from __future__ import annotations

import hashlib
import os
import time
import uuid

_MASK_48 = (1 << 48) - 1
_SEPARATOR = "\x1f"

#: Action to family: actions that notifications do not distinguish are one family; any other is its own.
FAMILIES = {"migrate": "resize"}


def _uuid7(time_us: int, entropy: int) -> str:
    """Return a UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 of the rest of the time, 62 of ``entropy``."""
    millis, micros = divmod(max(time_us, 0), 1000)
    value = (millis & _MASK_48) << 80 | 0x7 << 76 | (micros * 4096 // 1000) << 64 | 0b10 << 62
    value |= entropy & ((1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_event_id(now_us: int | None = None) -> str:
    """Return a random id for an event that is no translation. ``now_us``: UTC microseconds."""
    return _uuid7(time.time_ns() // 1000 if now_us is None else now_us, int.from_bytes(os.urandom(8), "big"))


def derived_event_id(occurred_at_us: int, publisher: str | None, message_id: str | None, position: int) -> str:
    """Return the id of an event that translates a message: the source's time and a hash of the other three."""
    digest = _hash(publisher or "", message_id or "", str(position))
    return _uuid7(occurred_at_us, int.from_bytes(digest[:8], "big"))


def event_time_us(event_id: str) -> int:
    """Return the time in an event id, UTC microseconds (to about a microsecond). Raises ``ValueError``."""
    value = uuid.UUID(event_id).int
    millis, fraction = value >> 80, (value >> 64) & 0xFFF
    return millis * 1000 + (fraction * 1000 + 4095) // 4096


def family_of_action(action: str) -> str:
    """Return the family of an action: ``resize`` for resize and migrate, else the action itself."""
    return FAMILIES.get(action, action)


def request_key(instance_uuid: str | None, request_id: str | None, action: str, target_id: str | None = None) -> str:
    """Return the id of a request: a hash of instance, request id, action family and target, in uuid form."""
    return _named(instance_uuid or "", request_id or "", family_of_action(action), target_id or "")


def failure_id(request_key: str, host: str | None, exception: str, attempt_id: str | None = None) -> str:
    """Return the id of a failure: a hash of its request, host, root exception class and the emitter's attempt id."""
    return _named(request_key, host or "", exception.removesuffix("_Remote"), attempt_id or "")


def publication_event_id(subject_id: str, revision: int) -> str:
    """Return the id of one revision of a subject in deliveries downstream; the same for every delivery."""
    return _named(subject_id, str(revision))


def alert_key(rule: str, problem: str) -> str:
    """Return the id of an alert: a hash of its rule and its problem, in uuid form."""
    return _named("alert", rule, problem)


def alert_event_id(rule: str, problem: str, starts_at_us: int, status: str) -> str:
    """Return the id of the message to subscribers that an alert with this start has ``status``."""
    return _named("alert", rule, problem, str(starts_at_us), status)


def _hash(*parts: str) -> bytes:
    return hashlib.sha256(_SEPARATOR.join(parts).encode("utf-8", "surrogatepass")).digest()


def _named(*parts: str) -> str:
    """Return a UUIDv8 (RFC 9562: the layout is vendor-specific) of a hash of ``parts``."""
    text = _hash(*parts).hex()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
