"""Decides which records of a folder the relay accepts: readable events that name a host which the folder may name.

What is checked is the Avro body, which is what consumers read, never the envelope. The host is the first field of the
event and is read in every record. Decoding costs as much as sending, so the relay decodes all records of a small chunk,
but only a random part of a large one; if one of them cannot be read, it decodes all. A process that writes n unreadable
records at once therefore passes all of them with probability 0.9 ** n.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

from stumble.outbox import OutboxRecord
from stumble.outbox.access import FolderFiles
from stumble.outbox.folders import OutboxFolder
from stumble.relay.authority import Authority
from stumble.relay.framing import Framer
from stumble.wire.codec import decode_record, read_host
from stumble.wire.errors import NotAvro, StumbleError
from stumble.wire.schemas import EVENT

_SMALL_CHUNK = 32
_DECODED_PART = 10
_SHOWN = 100


class RecordCheck:
    """Checks the records of all folders."""

    def __init__(self, authority: Authority, framer: Framer) -> None:
        self._authority = authority
        self._framer = framer
        self._random = random.SystemRandom()

    def faults(self, folder: OutboxFolder, files: FolderFiles, records: list[OutboxRecord]) -> dict[int, str]:
        """Return why the relay rejects records of a chunk, by their offset. Those that it accepts are absent."""
        result: dict[int, str] = {}
        for record in records:
            if fault := self._host_fault(folder, files, record):
                result[record.offset] = fault
        count = len(records) if len(records) <= _SMALL_CHUNK else len(records) // _DECODED_PART
        unreadable = self._unreadable(self._random.sample(records, count))
        if unreadable and count < len(records):
            unreadable = self._unreadable(records)
        return result | unreadable

    def _host_fault(self, folder: OutboxFolder, files: FolderFiles, record: OutboxRecord) -> str:
        try:
            if record.envelope.fingerprint == EVENT.fingerprint:
                host = read_host(record.body)
            else:
                host = self._framer.decode(files, record).get("host")
        except NotAvro as error:
            return str(error)
        except StumbleError:  # the schema is not known yet: the record cannot be framed either, so the folder waits
            return ""
        if self._authority.may_name(folder.uid, host or ""):
            return ""
        return f"it names the host {(host or '')[:_SHOWN]!r}, which `hosts` in [relay] does not allow"

    def _unreadable(self, records: Iterable[OutboxRecord]) -> dict[int, str]:
        """Return the records of this release's schema that cannot be decoded; others are decoded for their host."""
        result = {}
        for record in records:
            if record.envelope.fingerprint == EVENT.fingerprint:
                try:
                    decode_record(EVENT, record.body)
                except NotAvro as error:
                    result[record.offset] = str(error)
        return result
