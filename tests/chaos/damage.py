"""Damages outbox files as disks and power failures do; returns the ids of the affected events."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from uuid import UUID

from stumble.outbox.folders import outbox_folders, segment_numbers, segment_path
from stumble.outbox.reader import OutboxCursor, OutboxReader
from stumble.outbox.record import OutboxRecord


def sizes(outbox: Path) -> dict[str, int]:
    """Return the bytes of each segment."""
    by_path = {}
    for folder in outbox_folders(str(outbox)):
        for number in segment_numbers(folder.path):
            path = segment_path(folder.path, number)
            by_path[path] = Path(path).stat().st_size
    return by_path


def records(path: str) -> list[OutboxRecord]:
    """Return the sound records of one segment."""
    file = Path(path)
    reader = OutboxReader(file.parent)
    try:
        return reader.read(OutboxCursor(int(file.stem), 0), live=True, max_bytes=64 << 20).records
    finally:
        reader.close()


def waiting(outbox: Path) -> set[str]:
    """Return the ids of all events whose segments still exist."""
    return {event_id_of(record) for path in sizes(outbox) for record in records(path)}


def flip(outbox: Path, before: dict[str, int], rng: Random) -> set[str]:
    """Flip a byte in one undelivered record of every segment that has grown; return the ids of the events."""
    damaged = set()
    for path in sizes(outbox):
        unsent = [record for record in records(path) if record.offset >= before.get(path, 0)]
        if not unsent:
            continue
        record = rng.choice(unsent)
        at = record.offset + rng.randrange(record.size)
        with Path(path).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ (1 << rng.randrange(8))]))
        # A header with a wrong length may also make the next record unreadable.
        affected = [record, *(other for other in unsent if other.offset == record.offset + record.size)]
        damaged |= {event_id_of(one) for one in affected}
    return damaged


def tear(outbox: Path, before: dict[str, int], rng: Random) -> set[str]:
    """Truncate undelivered segments, as a power failure does; return the ids of the lost events."""
    lost = set()
    for path, size in sizes(outbox).items():
        begin = before.get(path, 0)
        if size <= begin:
            continue
        cut = rng.randrange(begin, size)
        lost |= {event_id_of(record) for record in records(path) if record.offset + record.size > cut}
        os.truncate(path, cut)
    return lost


def event_id_of(record: OutboxRecord) -> str:
    """Return the id of a record's event, hyphenated."""
    return str(UUID(bytes=record.envelope.event_id))
