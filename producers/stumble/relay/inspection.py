"""Reads outboxes without changing them: backlog, damage, and the events themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from stumble.outbox import OutboxCursor, OutboxReader, OutboxRecord, RecordChunk
from stumble.outbox.counters import Totals, read_about, read_totals
from stumble.outbox.folders import RELAY, OutboxFolder, is_live, outbox_folders, segment_numbers
from stumble.relay.cursors import CURSORS, Progress, read_cursors
from stumble.relay.framing import schema_in
from stumble.relay.status import user_name
from stumble.wire.codec import decode_record
from stumble.wire.errors import StumbleError
from stumble.wire.schemas import EVENT
from stumble.wire.writer_schema import parse_writer_schema


class NoSuchFolder(StumbleError):
    """The outbox has no process folder of this name."""


@dataclass(frozen=True, slots=True)
class FolderReport:
    """State of one process folder."""

    folder: str
    service: str
    user: str
    alive: bool
    segments: int
    bytes: int
    """Bytes that are not delivered."""
    unsent: int
    oldest_unsent_at: int | None
    """UTC microseconds."""
    accepted: int
    sent: int
    refused: int
    invalid: int
    rejected: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class FolderState:
    """Result of reading a folder from its first segment on."""

    folder: str
    records: int
    damaged: int
    damaged_bytes: int
    torn_bytes: int

    @property
    def is_sound(self) -> bool:
        """Return whether no accepted record is damaged; torn records were never accepted."""
        return not self.damaged


def find(directory: Path, users: frozenset[int], name: str | None) -> list[OutboxFolder]:
    """Return all folders of these users, or the one with the given name or key. Raises ``NoSuchFolder``."""
    folders = outbox_folders(str(directory), users)
    result = [folder for folder in folders if name is None or name in {folder.name, folder.key}]
    if name is not None and not result:
        raise NoSuchFolder(f"There is no folder {name} in {directory}; list them with: stumble outbox ls")
    return result


def cursors(directory: Path) -> dict[str, Progress]:
    """Return the relay's progress by folder key."""
    return read_cursors(directory / RELAY / CURSORS)


def report(folder: OutboxFolder, progress: Progress) -> FolderReport:
    """Return the state of a folder, with its undelivered events. Raises ``OSError``."""
    with folder.files() as files:
        about, totals, segments = read_about(files), read_totals(files) or Totals(), len(segment_numbers(files))
    cursor = OutboxCursor(progress.segment, progress.offset)
    unsent, oldest = 0, None
    for chunk in chunks(folder, cursor):
        unsent += len(chunk.records)
        first = min((record.envelope.occurred_at for record in chunk.records), default=None)
        oldest = min((at for at in (oldest, first) if at is not None), default=None)
    with closing(OutboxReader(folder.files())) as reader:
        size = reader.backlog_bytes(cursor)
    return FolderReport(
        folder=folder.key,
        service=str(about.get("service") or ""),
        user=user_name(folder.uid),
        alive=is_live(folder),
        segments=segments,
        bytes=size,
        unsent=unsent,
        oldest_unsent_at=oldest,
        accepted=max(totals.accepted, progress.done + unsent),
        sent=progress.sent,
        refused=totals.refused,
        invalid=totals.invalid,
        rejected=progress.rejected,
        quarantined=progress.quarantined,
    )


def verify(folder: OutboxFolder) -> FolderState:
    """Read all segments of a folder and check every record. Raises ``OSError`` and ``NewerFormat``."""
    records = damaged = damaged_bytes = torn = 0
    for chunk in chunks(folder, OutboxCursor()):
        records += len(chunk.records)
        damaged += len(chunk.damages)
        damaged_bytes += sum(len(damage.data) for damage in chunk.damages)
        torn += chunk.torn
    return FolderState(folder.key, records, damaged, damaged_bytes, torn)


def chunks(folder: OutboxFolder, cursor: OutboxCursor) -> Iterator[RecordChunk]:
    """Yield the chunks of a folder from a cursor on. Raises ``OSError`` and ``NewerFormat``."""
    alive = is_live(folder)
    with closing(OutboxReader(folder.files())) as reader:
        while (chunk := reader.read(cursor, live=alive)).end != cursor:
            yield chunk
            cursor = chunk.end


def events(folder: OutboxFolder, cursor: OutboxCursor) -> Iterator[dict[str, Any]]:
    """Yield the decoded events of a folder; one that cannot be decoded as its event id and the error."""
    for chunk in chunks(folder, cursor):
        for record in chunk.records:
            yield {"folder": folder.key, "segment": chunk.start.segment, "offset": record.offset} | _event(
                folder, record
            )


def _event(folder: OutboxFolder, record: OutboxRecord) -> dict[str, Any]:
    try:
        with folder.files() as files:
            schema = schema_in(files, record.envelope.fingerprint)
        return {"event": decode_record(EVENT, record.body, parse_writer_schema(schema.json, EVENT))}
    except StumbleError as error:
        return {"event": {"event_id": str(UUID(bytes=record.envelope.event_id))}, "error": str(error)}
