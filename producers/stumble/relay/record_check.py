"""Decides which records of a folder the relay accepts: readable events that name a host which the folder may name.

What is checked is the Avro body, which is what consumers read, never the envelope. The host is the first field of the
event and is read in every record. Decoding costs as much as sending, so the relay decodes all records of a small chunk,
but only a random part of a large one; if one of them cannot be read, it decodes all. A process that writes n unreadable
records at once therefore passes all of them with probability 0.9 ** n.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from stumble.outbox import OutboxRecord
from stumble.outbox.access import FolderFiles
from stumble.outbox.folders import OutboxFolder
from stumble.relay.authority import Authority
from stumble.relay.framing import Framer
from stumble.wire.codec import read_host, read_record
from stumble.wire.errors import NotAvro, StumbleError
from stumble.wire.schemas import EVENT

_SMALL_CHUNK = 32
_DECODED_PART = 10
_SHOWN = 100


class CheckedRecords(NamedTuple):
    """Result of a check: of the first ``checked`` records, those that the relay rejects."""

    faults: dict[int, str]
    """Why the relay rejects records, by their offset. Those that it accepts are absent."""
    checked: int
    """Number of checked records: the others must not be sent before another check."""
    problem: StumbleError | None = None
    """Why the next record cannot be checked now."""


class RecordCheck:
    """Checks the records of all folders."""

    def __init__(self, authority: Authority, framer: Framer) -> None:
        self._authority = authority
        self._framer = framer
        self._random = random.SystemRandom()

    def check(self, folder: OutboxFolder, files: FolderFiles, records: list[OutboxRecord]) -> CheckedRecords:
        """Check the records of a chunk, up to one whose schema is not known yet.

        To find a schema of another release costs a listing of the folder, so the check also ends before the second one.
        """
        hosts = self._check_hosts(folder, files, records)
        checked = records[: hosts.checked]
        count = len(checked) if len(checked) <= _SMALL_CHUNK else len(checked) // _DECODED_PART
        unreadable = self._unreadable(self._random.sample(checked, count))
        if unreadable and count < len(checked):
            unreadable = self._unreadable(checked)
        return hosts._replace(faults=hosts.faults | unreadable)

    def _check_hosts(self, folder: OutboxFolder, files: FolderFiles, records: list[OutboxRecord]) -> CheckedRecords:
        faults: dict[int, str] = {}
        other = EVENT.fingerprint
        for number, record in enumerate(records):
            fingerprint = record.envelope.fingerprint
            if fingerprint not in (EVENT.fingerprint, other):
                if other != EVENT.fingerprint:
                    return CheckedRecords(faults, number)
                other = fingerprint
            try:
                if fault := self._host_fault(folder, files, record):
                    faults[record.offset] = fault
            except StumbleError as error:  # the schema is not known yet
                return CheckedRecords(faults, number, error)
        return CheckedRecords(faults, len(records))

    def _host_fault(self, folder: OutboxFolder, files: FolderFiles, record: OutboxRecord) -> str:
        try:
            if record.envelope.fingerprint == EVENT.fingerprint:
                host = read_host(record.body)
            else:
                host = self._framer.decode(files, record).get("host")
        except NotAvro as error:
            return str(error)
        if self._authority.may_name(folder.uid, host or ""):
            return ""
        return f"it names the host {(host or '')[:_SHOWN]!r}, which `hosts` in [relay] does not allow"

    def _unreadable(self, records: Iterable[OutboxRecord]) -> dict[int, str]:
        """Return the records of this release's schema that cannot be decoded; others are decoded for their host."""
        result = {}
        for record in records:
            if record.envelope.fingerprint == EVENT.fingerprint:
                try:
                    read_record(EVENT, record.body)
                except NotAvro as error:
                    result[record.offset] = str(error)
        return result
