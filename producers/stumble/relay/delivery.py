"""Carries chunks from the folders to the broker, and judges what became of each."""

from __future__ import annotations

import errno
from pathlib import Path

import structlog
from confluent_kafka import KafkaError

from stumble.outbox import OutboxCursor, OutboxRecord, RecordChunk
from stumble.relay import rejected
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.in_flight import InFlightChunk
from stumble.relay.metrics import RelayMetrics
from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.outbox_tails import OutboxTails
from stumble.relay.sender import KafkaSender, explain
from stumble.relay.state_log import RelayStateLog
from stumble.wire.errors import StumbleError

LOG = structlog.get_logger("stumble.relay")

_MOST_IN_FLIGHT = 16 << 20
_FULL_POLL_S = 0.02


class ChunkDelivery:
    """Sends what the folders hold, in order per folder, and moves a folder's cursor when a whole chunk is settled.

    ``folder`` is the relay's own, where it keeps what the broker refuses and what is damaged.
    """

    def __init__(
        self,
        topic: str,
        folder: Path,
        feeds: OutboxTails,
        sender: KafkaSender,
        framer: Framer,
        metrics: RelayMetrics,
        troubles: RelayStateLog,
    ) -> None:
        self._topic = topic
        self._folder = folder
        self._feeds = feeds
        self._sender = sender
        self._framer = framer
        self._metrics = metrics
        self._troubles = troubles
        self.sent = 0
        """Events delivered since the relay started."""
        self.moved = False
        """Whether a cursor moved since this was last set to False."""

    def pump(self, feed: OutboxTail, now: float) -> bool:
        """Send one folder's next chunk; what goes wrong with a folder stops this folder only."""
        if self._feeds.in_flight >= _MOST_IN_FLIGHT:
            return False
        try:
            chunk = feed.read(now)
        except Exception as error:  # noqa: BLE001  # whatever lies in a folder, the others go on
            self._troubles.begin(feed.place.key, str(error) or type(error).__name__)
            feed.wait(now)
            return False
        if chunk is None:
            return False
        chunk, framed, trouble = self._frame(feed, chunk)
        if trouble:
            self._troubles.begin(feed.place.key, trouble)
            if not framed:
                feed.wait(now)
                return False
        else:
            self._troubles.end(feed.place.key)
        flight = InFlightChunk(chunk)
        feed.take_off(flight)
        for ready in framed:
            self._send(flight, ready)
        return True

    def _frame(self, feed: OutboxTail, chunk: RecordChunk) -> tuple[RecordChunk, list[FramedRecord], str]:
        """Frame a chunk's records up to the first that can't be now; the chunk then ends before that one."""
        framed: list[FramedRecord] = []
        for record in chunk.records:
            try:
                framed.append(self._framer.frame(self._topic, feed.place.path, record))
            except StumbleError as error:
                end = OutboxCursor(chunk.start.segment, record.offset)
                damages = [damage for damage in chunk.damages if damage.offset < record.offset]
                cut = chunk._replace(end=end, records=chunk.records[: len(framed)], damages=damages)
                return cut, framed, str(error)
        return chunk, framed, ""

    def _send(self, flight: InFlightChunk, framed: FramedRecord, *, alone: bool = False) -> None:
        while True:
            try:
                error = self._sender.send(self._topic, framed, flight.delivered, alone=alone)
                break
            except BufferError:
                self._sender.poll(_FULL_POLL_S)
        if error is None:
            flight.open += 1
        else:
            flight.refuse(framed.value or b"", error)

    def settle(self, now: float) -> None:
        """Judge every chunk whose deliveries are all in."""
        for feed in self._feeds.all():
            while (flight := feed.landed(now)) is not None and self._land(feed, flight, now):
                pass

    def _land(self, feed: OutboxTail, flight: InFlightChunk, now: float) -> bool:
        """Judge a chunk whose deliveries are settled; False where the feed has to wait."""
        if flight.problem is not None:
            self._troubles.begin("kafka", explain(flight.problem, self._topic))
            if feed.on_their_way():
                return False
            feed.again(now)
            return False
        try:
            if flight.refused and not flight.alone:
                self._send_alone(feed, flight)
                return False
            refused = self._store_rejected(feed, flight)
            quarantined = self._quarantine(feed, flight)
        except (OSError, StumbleError) as error:
            self._troubles.begin(feed.place.key, f"rejected or damaged records can't be stored: {error}")
            feed.wait(now)
            return False
        sent = flight.acknowledged
        if sent + refused != flight.count:  # whatever the reason: nothing passes that wasn't accounted for
            self._troubles.begin("kafka", f"{flight.count - sent - refused} events were not acknowledged")
            feed.again(now)
            return False
        feed.complete(rejected=refused, quarantined=quarantined, sent=sent)
        self.moved = True
        self._metrics.sent.inc(sent)
        if sent:
            self.sent += sent
            self._metrics.progressed()
            self._troubles.end("kafka")
        return True

    def _send_alone(self, feed: OutboxTail, flight: InFlightChunk) -> None:
        """Find out which records are to blame: a broker refuses a batch as a whole."""
        doubtful = self._refused(feed, flight)
        flight.refused, flight.alone = {}, True
        for _, framed, _ in doubtful:
            self._send(flight, framed, alone=True)

    def _refused(self, feed: OutboxTail, flight: InFlightChunk) -> list[tuple[OutboxRecord, FramedRecord, KafkaError]]:
        """Return the records of a chunk that were refused. Raises ``OSError`` where one of them isn't found again."""
        found = []
        for record in feed.records_of(flight):
            framed = self._framer.frame(self._topic, feed.place.path, record)
            if framed.value in flight.refused:
                found.append((record, framed, flight.refused[framed.value]))
        if {framed.value for _, framed, _ in found} != flight.refused.keys():
            raise OSError(errno.EIO, "a refused record isn't found again in its segment")
        return found

    def _store_rejected(self, feed: OutboxTail, flight: InFlightChunk) -> int:
        if not flight.refused:
            return 0
        refused = [(record, error.str()) for record, _, error in self._refused(feed, flight)]
        rejected.write_rejected(self._folder, feed.place.key, flight.chunk.start.segment, refused)
        self._metrics.rejected.inc(len(refused))
        LOG.warning(
            "broker rejected events",
            events=len(refused),
            folder=feed.place.key,
            reason=refused[0][1],
            see="stumble outbox ls",
        )
        return len(refused)

    def _quarantine(self, feed: OutboxTail, flight: InFlightChunk) -> int:
        damages = flight.chunk.damages
        if damages:
            rejected.quarantine(self._folder, feed.place.key, damages)
            self._metrics.quarantined.inc(len(damages))
            LOG.warning(
                "damaged bytes put into quarantine",
                places=len(damages),
                bytes=sum(len(damage.data) for damage in damages),
                folder=feed.place.key,
                kept_in=str(self._folder / rejected.QUARANTINE),
            )
        return len(damages)
