"""Stores what the relay cannot deliver: events that the broker or the relay rejected, and damaged bytes."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from stumble.outbox import Damage, OutboxRecord
from stumble.outbox.folders import RELAY

FILE = "rejected.jsonl"
QUARANTINE = "quarantine"
MOST_BYTES = 64 << 20
#: The relay's own rejections leave the other half to those of the broker.
MOST_BYTES_OF_RELAY = MOST_BYTES // 2
_QUARANTINE_BYTES, _QUARANTINE_FILES = 16 << 20, 1000
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def write_rejected(
    folder: Path, key: str, segment: int, refused: Iterable[tuple[OutboxRecord, str]], most_bytes: int | None = None
) -> int:
    """Append rejected events with their reasons and sync the file; return their number.

    ``most_bytes``: size from which on the file is full, by default ``MOST_BYTES``. Raises ``OSError``.
    """
    lines = [_line(key, segment, record, reason) for record, reason in refused]
    check_space(folder, most_bytes)
    with (folder / FILE).open("ab") as file:
        file.write(b"\n" + b"".join(lines))  # after a crash, the previous line may be incomplete
        file.flush()
        os.fsync(file.fileno())
    return len(lines)


def check_space(folder: Path, most_bytes: int | None = None) -> None:
    """Raise ``OSError`` if the file has more than ``most_bytes``, by default ``MOST_BYTES``, or cannot be read."""
    with suppress(FileNotFoundError):
        if (folder / FILE).stat().st_size > (MOST_BYTES if most_bytes is None else most_bytes):
            text = f"{RELAY}/{FILE} in the outbox directory is full"
            raise OSError(errno.EFBIG, f"{text}; find out why so many events are rejected, then move the file away")


def _line(key: str, segment: int, record: OutboxRecord, reason: str) -> bytes:
    envelope = record.envelope
    row = {
        "folder": key,
        "segment": segment,
        "offset": record.offset,
        "reason": reason,
        "rejected_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "event_id": str(UUID(bytes=envelope.event_id)),
        "occurred_at": envelope.occurred_at,
        "key": envelope.key.decode("utf-8", "replace"),
        "source": envelope.source.decode("utf-8", "replace"),
        "traceparent": envelope.traceparent.decode("ascii", "replace"),
        "fingerprint": envelope.fingerprint.hex(),
        "is_failure": envelope.is_failure,
        "size": len(record.body),
        "body": base64.b64encode(record.body).decode(),
    }
    return json.dumps(row).encode() + b"\n"


def read_rejected(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rejected events, each once; incomplete lines are skipped."""
    seen = set()
    try:
        file = (folder / FILE).open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if not isinstance(row, dict):
                continue
            position = (row.get("folder"), row.get("segment"), row.get("offset"))
            if position not in seen:
                seen.add(position)
                yield row


def quarantine(folder: Path, key: str, damages: Iterable[Damage]) -> int:
    """Store each damage in its own file and sync it, while all files together are small; return their number.

    Raises ``OSError``.
    """
    target = folder / QUARANTINE
    target.mkdir(mode=0o750, exist_ok=True)
    sizes = [path.stat().st_size for path in target.iterdir()]
    used, files, count = sum(sizes), len(sizes), 0
    for damage in damages:
        used, files = used + len(damage.data), files + 1
        if used > _QUARANTINE_BYTES or files > _QUARANTINE_FILES:
            break
        name = f"{_UNSAFE.sub('.', key)}.{damage.segment:08d}.{damage.offset}.bin"
        with (target / name).open("wb") as file:
            file.write(damage.data)
            file.flush()
            os.fsync(file.fileno())
        count += 1
    return count
