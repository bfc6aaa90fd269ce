"""The outbox: segment files in which a process stores its events for the relay of its host.

Layout below the outbox directory::

    uid-<n>/<service>-<pid>-<random>/     one folder per process, written only by that process
        00000001.seg ...                  segments: a header, then records (see ``record``)
        lock                              the process holds a record lock on it while it lives
        about.json                        the producer: service, host, version, labels, tap ...
        counters                          number of accepted and refused events
        <fingerprint>.v<n>.avsc           the schema that the records were written with
    relay/                                files of the relay: cursors, rejected and damaged records

Standard library only, since Nova's processes load it.

Start reading at ``writer``. Imports ``wire``.
"""

from stumble.outbox.reader import Damage, OutboxCursor, OutboxReader, RecordChunk
from stumble.outbox.record import Envelope, OutboxRecord, pack_record
from stumble.outbox.writer import DURABILITIES, OutboxWriter

__all__ = [
    "DURABILITIES",
    "Damage",
    "Envelope",
    "OutboxCursor",
    "OutboxReader",
    "OutboxRecord",
    "OutboxWriter",
    "RecordChunk",
    "pack_record",
]
