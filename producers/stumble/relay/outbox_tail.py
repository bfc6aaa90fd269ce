"""Reads the outbox of one process for Kafka: in order, independent of other outboxes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from stumble.outbox import OutboxCursor, OutboxReader, OutboxRecord, RecordChunk
from stumble.outbox.counters import Totals, read_about, read_totals
from stumble.outbox.folders import ABOUT, LOCK, OutboxFolder, segment_name, segment_numbers
from stumble.relay.cursors import Progress
from stumble.relay.in_flight import InFlightChunk

_CHECK_S = 0.5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_FINISHED_AFTER_S = 2.0
_WINDOW = 2 << 20
_MOST_READS = 4
_MOST_BACKLOG = 1 << 40  # a file with holes may seem to have more bytes than any disk


class OutboxTail:
    """Reads a folder ahead of the acknowledgements, and moves its cursor when a whole chunk is acknowledged."""

    def __init__(self, folder: OutboxFolder, progress: Progress, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        self.folder = folder
        self.progress = progress
        self.headers = headers
        """Headers of every record of this folder, which name the relay."""
        self.files = folder.files()
        self.about: dict[str, Any] = {}
        self.totals = Totals()
        self.backlog = (0, 0)
        """Undelivered events (estimated, if some are not read yet) and bytes, at the last `inspect`."""
        self.chunks: deque[InFlightChunk] = deque()
        self.in_flight = 0
        """Bytes that were sent and are not acknowledged."""
        self.alive = True
        self.exhausted = False
        self._reader = OutboxReader(self.files)
        self._ahead = OutboxCursor(progress.segment, progress.offset)
        self._about_at = -1
        self._check_at = 0.0
        self._look_again = False
        self._wait_until = 0.0
        self._wait = _FIRST_WAIT_S
        self._settle_at = 0.0
        self.unstored = False
        """Whether rejected or damaged records of a delivered chunk could not be stored yet."""
        self._idle_since = 0.0
        self._removable_at = 0.0
        self._oldest: int | None = None
        self._oldest_at: tuple[OutboxCursor, tuple[int, int]] | None = None

    @property
    def cursor(self) -> OutboxCursor:
        """Everything before it was delivered, rejected or moved to quarantine."""
        return OutboxCursor(self.progress.segment, self.progress.offset)

    def inspect(self, now: float) -> bool:
        """Look at the process and its files, unless that was done lately; return whether anything changed.

        Raises ``OSError``, also ``UnsafeEntry``.
        """
        if now < self._check_at or self.is_waiting(now):
            return False
        self._check_at = now + _CHECK_S
        self._look_again = self.alive  # for the next segment, which the size of this one does not show
        before = (self.alive, self._about_at, self.backlog, self.totals)
        self.alive = self.files.is_locked(LOCK)
        self.exhausted = self.exhausted and self.alive is before[0]  # the end of a process makes its last bytes final
        status = self.files.status(ABOUT)
        if status and status.st_mtime_ns != self._about_at:
            self._about_at = status.st_mtime_ns
            self.about = read_about(self.files) or self.about
        self.totals = read_totals(self.files) or self.totals
        self.backlog = self._measure_backlog()
        return before != (self.alive, self._about_at, self.backlog, self.totals)

    def read_chunk(self, now: float) -> RecordChunk | None:
        """Return the next chunk, or None if there is none now or the folder waits.

        Raises ``OSError`` and ``NewerFormat``.
        """
        if self.is_waiting(now) or self.in_flight >= _WINDOW:
            return None
        look_again, self._look_again = self._look_again, False
        if self.exhausted and not look_again and not (self.alive and self._reader.has_more(self._ahead)):
            return None
        chunk = self._reader.read(self._ahead, live=self.alive)
        self.exhausted = chunk.end == chunk.start
        if self.exhausted:
            if chunk.start != self.cursor or self.chunks:
                self._idle_since = now
            return None
        self._idle_since = now
        return chunk

    def add_in_flight(self, sent_chunk: InFlightChunk) -> None:
        """Add a chunk that is passed to the producer."""
        self.chunks.append(sent_chunk)
        self.in_flight += sent_chunk.size
        self._ahead = sent_chunk.chunk.end

    def oldest_settled(self, now: float) -> InFlightChunk | None:
        """Return the oldest chunk if all its deliveries are settled and storing its records did not fail lately."""
        return self.chunks[0] if self.chunks and not self.chunks[0].open and now >= self._settle_at else None

    def complete(self, rejected: int, quarantined: int, sent: int) -> None:
        """Move the cursor past the oldest chunk, and add its counts to the progress."""
        sent_chunk = self.chunks.popleft()
        self.in_flight -= sent_chunk.size
        progress = self.progress
        progress.segment, progress.offset = sent_chunk.chunk.end
        progress.rejected += rejected
        progress.quarantined += quarantined
        progress.sent += sent
        progress.torn += sent_chunk.chunk.torn
        events, size = self.backlog
        size = max(size - sent_chunk.size, 0)
        self.backlog = (max(events - sent_chunk.count, 1) if size else 0, size)
        self._wait = _FIRST_WAIT_S

    def wait(self, now: float) -> None:
        """Read nothing for some time, doubled with each call, up to 30 s."""
        self._wait_until = now + self._wait
        self._wait = min(self._wait * 2, _LONGEST_WAIT_S)

    def wait_to_settle(self, now: float) -> None:
        """Settle and read nothing for some time, as `wait`."""
        self.wait(now)
        self._settle_at = self._wait_until

    def is_waiting(self, now: float) -> bool:
        """Return whether the folder is not read now because of an earlier error."""
        return now < self._wait_until

    def rewind(self, now: float) -> None:
        """Return to the cursor, and wait before reading again."""
        self.chunks.clear()
        self.in_flight = 0
        self._ahead = self.cursor
        self.exhausted = False
        self.wait(now)

    def records_of(self, sent_chunk: InFlightChunk) -> list[OutboxRecord]:
        """Read a chunk's records again: its segment exists until the cursor has passed it."""
        reader = OutboxReader(self.folder.files())
        try:
            return reader.read(sent_chunk.chunk.start, live=True, max_bytes=max(sent_chunk.size, 1)).records
        finally:
            reader.close()

    def is_drained(self) -> bool:
        """Return whether the process is dead and all events are delivered, so that nothing can change any more."""
        return self.exhausted and not self.alive and not self.chunks and self._ahead == self.cursor

    def is_removable(self, now: float) -> bool:
        """Return whether the folder has been drained for more than 2 s, and its removal did not fail lately."""
        return self.is_drained() and now >= max(self._idle_since + _FINISHED_AFTER_S, self._removable_at)

    def retry_removal(self, at: float) -> None:
        """Do not remove the folder before a time."""
        self._removable_at = at

    def delivered_segments(self) -> list[str]:
        """Return the names of the segments before the cursor's segment. Raises ``OSError``."""
        numbers = segment_numbers(self.files)
        return [segment_name(number) for number in numbers if number < self.progress.segment]

    def _measure_backlog(self) -> tuple[int, int]:
        size = min(self._reader.backlog_bytes(self.cursor), _MOST_BACKLOG)
        if not size:
            return 0, 0
        return max(self.totals.accepted - self.progress.done, self.open_deliveries(), 1), size

    def open_deliveries(self) -> int:
        """Return the number of open deliveries."""
        return sum(sent_chunk.open for sent_chunk in self.chunks)

    def oldest(self) -> int | None:
        """Return the time (UTC microseconds) of the oldest undelivered event, or None."""
        if self.chunks:
            return min((sent_chunk.oldest for sent_chunk in self.chunks if sent_chunk.oldest), default=None)
        position = self.cursor, self.backlog
        if self._oldest_at != position:
            self._oldest_at, self._oldest = position, self._read_oldest()
        return self._oldest

    def _read_oldest(self) -> int | None:
        """Read a limited number of chunks: a file with holes may have no record in many gigabytes."""
        reader, end = OutboxReader(self.folder.files()), self.cursor
        try:
            for _ in range(_MOST_READS):
                chunk = reader.read(end, live=True)
                if chunk.records or chunk.end == end:
                    return min((record.envelope.occurred_at for record in chunk.records), default=None)
                end = chunk.end
        except Exception:  # noqa: BLE001  # `ChunkDelivery` reports errors of reading
            return None
        finally:
            reader.close()
        return None

    def close(self) -> None:
        """Close the files, which the next use opens again."""
        self._reader.close()
