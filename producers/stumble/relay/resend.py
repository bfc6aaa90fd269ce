"""Writes rejected events to the outbox again, after the cause was corrected.

The events go the usual way: this process writes them to a folder of its own user, and the relay checks and sends them.
They keep their ids, so consumers ignore an event that they already have. This module applies the relay's rule first,
also for the user that wrote the event before: a bridge's user must not lend its right to name any host to the events of
other users.
"""

from __future__ import annotations

import base64
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from stumble.outbox import Envelope, OutboxWriter, pack_record
from stumble.outbox.folders import RELAY
from stumble.relay.authority import Authority
from stumble.relay.rejected import read_rejected
from stumble.wire.codec import decode_record
from stumble.wire.errors import StumbleError
from stumble.wire.schemas import EVENT


@dataclass(slots=True)
class ResendResult:
    """How many rejected events were written to the outbox, and how many were not, by reason."""

    written: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def resend_rejected(directory: Path, authority: Authority) -> ResendResult:
    """Write the rejected events that the relay accepts now to the outbox of this process's user.

    No event is removed from the file of rejected events. Raises ``StumbleError`` if the relay does not serve this user
    or the outbox refuses an event, and ``OSError`` if the file cannot be read.
    """
    uid = os.geteuid()
    if uid not in authority.users:
        raise StumbleError(f"The relay does not serve the user {uid}: run this as root or as a user in `users`.")
    outbox = OutboxWriter(
        directory,
        service="stumble-resend",
        about={},
        schemas={f"{EVENT.fingerprint.hex()}.v{EVENT.version}.avsc": EVENT.json},
    )
    result = ResendResult()
    for row in read_rejected(directory / RELAY):
        try:
            event, body = _event(row)
            if fault := _fault(authority, uid, int(row["folder"].partition("/")[0].removeprefix("uid-")), event):
                result.skipped[fault] += 1
                continue
            envelope = _envelope(row)
            record = pack_record(envelope, body)
        except (KeyError, TypeError, ValueError, AttributeError, struct.error, StumbleError):
            result.skipped["this release cannot read the event"] += 1
            continue
        if not outbox.append(record, is_failure=envelope.is_failure):
            raise StumbleError(
                f"The outbox is full: {result.written} events were written. Run the command again when the relay has "
                "delivered them."
            )
        result.written += 1
    return result


def _event(row: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    if row["fingerprint"] != EVENT.fingerprint.hex():
        raise ValueError("written with the schema of another release")
    body = base64.b64decode(row["body"], validate=True)
    return decode_record(EVENT, body), body


def _fault(authority: Authority, uid: int, writer: int, event: dict[str, Any]) -> str:
    """Return why an event of the user ``writer`` is not written by the user ``uid``; empty if it is."""
    if writer not in authority.users:
        return f"the relay does not serve the user {writer}, who wrote it"
    if not authority.may_name(writer, event.get("host") or ""):
        return "`hosts` in [relay] does not allow its host"
    if (writer in authority.bridges) != (uid in authority.bridges):
        kind = "a user" if writer in authority.bridges else "a user that is not"
        return f"run this command as {kind} in `bridge_users`"
    return ""


def _envelope(row: dict[str, Any]) -> Envelope:
    return Envelope(
        EVENT.fingerprint,
        int(row["occurred_at"]),
        UUID(row["event_id"]).bytes,
        row["key"].encode(),
        row["source"].encode(),
        row["traceparent"].encode(),
        bool(row["is_failure"]),
    )
