"""Records and folders for the outbox tests."""

from __future__ import annotations

import uuid
from pathlib import Path

from stumble.outbox import Damage, Envelope, OutboxCursor, OutboxReader, OutboxRecord, pack_record
from stumble.outbox.folders import outbox_folders

FINGERPRINT = b"12345678"


def packed(body: bytes, *, is_failure: bool = False) -> bytes:
    return pack_record(
        Envelope(FINGERPRINT, 1_700_000_000_000_000, uuid.uuid4().bytes, b"key", is_failure=is_failure), body
    )


def only_folder(directory: Path) -> Path:
    (folder,) = outbox_folders(str(directory))
    return Path(folder.path)


def read_all(folder: Path, *, live: bool = True, max_bytes: int = 4096) -> tuple[list[OutboxRecord], list[Damage], int]:
    """Read a folder to its end as the relay does; return records, damages and bytes of torn records."""
    reader, cursor = OutboxReader(folder), OutboxCursor()
    records: list[OutboxRecord] = []
    damages: list[Damage] = []
    torn = 0
    while True:
        chunk = reader.read(cursor, live=live, max_bytes=max_bytes)
        records += chunk.records
        damages += chunk.damages
        torn += chunk.torn
        if chunk.end == cursor:
            reader.close()
            return records, damages, torn
        cursor = chunk.end


def bodies(folder: Path, *, live: bool = True) -> list[bytes]:
    return [record.body for record in read_all(folder, live=live)[0]]
