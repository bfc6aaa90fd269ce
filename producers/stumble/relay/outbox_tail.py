"""One process's folder on its way to Kafka: in order, at its own pace, in nobody's way."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path

from stumble.outbox import OutboxCursor, OutboxReader, OutboxRecord, RecordChunk
from stumble.outbox.counters import Totals, read_about, read_totals
from stumble.outbox.folders import ABOUT, OutboxFolder, is_live, segment_path, segments
from stumble.relay.cursors import Progress
from stumble.relay.in_flight import InFlightChunk

_LOOK_S = 0.5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_QUIET_S = 2.0
_WINDOW = 2 << 20


class OutboxTail:
    """Reads a folder ahead of what is acknowledged, and moves its cursor when a whole chunk is."""

    def __init__(self, place: OutboxFolder, progress: Progress) -> None:
        self.place = place
        self.progress = progress
        self.reader = OutboxReader(place.path)
        self.about = read_about(place.path)
        self.totals = read_totals(place.path) or Totals()
        progress.host = str(self.about.get("host") or "")
        self.flights: deque[InFlightChunk] = deque()
        self.in_flight = 0
        """Bytes on their way."""
        self.alive = True
        self.exhausted = False
        self._ahead = OutboxCursor(progress.segment, progress.offset)
        self._look_at = 0.0
        self._wait_until = 0.0
        self._wait = _FIRST_WAIT_S
        self._quiet_since = 0.0

    @property
    def cursor(self) -> OutboxCursor:
        """Everything before it was delivered, rejected or put into quarantine."""
        return OutboxCursor(self.progress.segment, self.progress.offset)

    def read(self, now: float) -> RecordChunk | None:
        """Return the next chunk, None where there is none now or the feed waits.

        Raises ``OSError`` and ``NewerFormat``.
        """
        if now < self._wait_until or self.in_flight >= _WINDOW:
            return None
        if now < self._look_at and self.exhausted and not self.reader.has_more(self._ahead):
            return None
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            self.alive = is_live(self.place)
        chunk = self.reader.read(self._ahead, live=self.alive)
        self.exhausted = chunk.end == chunk.start
        if self.exhausted:
            if chunk.start != self.cursor or self.flights:
                self._quiet_since = now
            return None
        self._quiet_since = now
        return chunk

    def take_off(self, flight: InFlightChunk) -> None:
        """Take note of a chunk that was handed to the producer."""
        self.flights.append(flight)
        self.in_flight += flight.size
        self._ahead = flight.chunk.end

    def landed(self, now: float) -> InFlightChunk | None:
        """Return the oldest chunk if all of its deliveries are settled and the feed doesn't wait."""
        return self.flights[0] if self.flights and not self.flights[0].open and now >= self._wait_until else None

    def complete(self, rejected: int, quarantined: int, sent: int) -> None:
        """Move the cursor over the oldest chunk."""
        flight = self.flights.popleft()
        self.in_flight -= flight.size
        progress = self.progress
        progress.segment, progress.offset = flight.chunk.end
        progress.rejected += rejected
        progress.quarantined += quarantined
        progress.sent += sent
        progress.torn += flight.chunk.torn
        self._wait = _FIRST_WAIT_S

    def wait(self, now: float) -> None:
        """Do nothing for a while, longer each time."""
        self._wait_until = now + self._wait
        self._wait = min(self._wait * 2, _LONGEST_WAIT_S)

    def again(self, now: float) -> None:
        """Go back to the cursor and wait a while."""
        self.flights.clear()
        self.in_flight = 0
        self._ahead = self.cursor
        self.exhausted = False
        self.wait(now)

    def records_of(self, flight: InFlightChunk) -> list[OutboxRecord]:
        """Read a chunk's records once more: its segment is there until the cursor has passed it."""
        reader = OutboxReader(self.place.path)
        try:
            return reader.read(flight.chunk.start, live=True, max_bytes=max(flight.size, 1)).records
        finally:
            reader.close()

    def is_finished(self, now: float) -> bool:
        """Tell whether nobody writes here any more and everything was delivered, for some seconds now."""
        done = self.exhausted and not self.alive and not self.flights and self._ahead == self.cursor
        return done and now - self._quiet_since > _QUIET_S

    def delivered_segments(self) -> list[str]:
        """Return the segments that the cursor has left behind."""
        with suppress(OSError):
            return [
                segment_path(self.place.path, number)
                for number in segments(self.place.path)
                if number < self.progress.segment
            ]
        return []

    def backlog(self) -> tuple[int, int]:
        """Return events (an estimate where a part of them was not read yet) and bytes that are not delivered."""
        self.totals = read_totals(self.place.path) or self.totals
        size = 0
        with suppress(OSError):
            size = self.reader.backlog_bytes(self.cursor)
        if not size:
            return 0, 0
        done = self.progress.sent + self.progress.rejected + self.progress.quarantined
        return max(self.totals.accepted - done, self.on_their_way(), 1), size

    def on_their_way(self) -> int:
        """Return how many deliveries are open."""
        return sum(flight.open for flight in self.flights)

    def oldest(self) -> int | None:
        """Return the time (UTC microseconds) of the oldest event that is not delivered, None where there is none."""
        if self.flights:
            return min((flight.oldest for flight in self.flights if flight.oldest), default=None)
        reader = OutboxReader(self.place.path)
        try:
            chunk = reader.read(self.cursor, live=True)
            while chunk.end != chunk.start and not chunk.records:
                chunk = reader.read(chunk.end, live=True)
        except Exception:  # noqa: BLE001  # what hinders reading is told where the folder is served
            return None
        finally:
            reader.close()
        return min((record.envelope.occurred_at for record in chunk.records), default=None)

    def told_at(self) -> float:
        """Return when its process last said something of itself (seconds), 0 where that can't be seen."""
        try:
            return Path(self.place.path, ABOUT).stat().st_mtime
        except OSError:
            return 0.0

    def remove(self) -> None:
        """Take the folder of a dead process away. Raises ``OSError``."""
        self.reader.close()
        path = Path(self.place.path)
        for entry in list(path.iterdir()):
            entry.unlink()
        path.rmdir()
