"""The outbox: segment files in which a process leaves its events for the relay of its host.

Layout below the outbox directory::

    uid-<n>/<service>-<pid>-<random>/     one folder a process, written by that process alone
        00000001.seg ...                  segments: a header, then records (see ``record``)
        lock                              held with a record lock as long as the process lives
        about.json                        who writes here: service, host, version, labels, tap ...
        counters                          what was accepted and refused so far
        <fingerprint>.v<n>.avsc           the schema that the records were written with
    relay/                                the relay's own: cursor, rejected and damaged records

Standard library only, since Nova's processes load it.

Start reading at ``writer``. Imports ``wire``.
"""

from stumble.outbox.reader import Damage, OutboxCursor, OutboxReader, RecordChunk
from stumble.outbox.record import Envelope, OutboxRecord, pack
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
    "pack",
]
