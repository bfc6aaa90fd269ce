"""Sends chunks from the folders to the broker, and settles each one after its delivery reports."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from confluent_kafka import KafkaError

from stumble.outbox import OutboxCursor, OutboxRecord, RecordChunk
from stumble.relay import rejected
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.in_flight import InFlightChunk
from stumble.relay.metrics import RelayMetrics
from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.outbox_tails import OutboxTails
from stumble.relay.sender import KafkaSender, explain_error
from stumble.runtime.state_log import StateLog
from stumble.wire.errors import StumbleError

LOG = logging.getLogger(__name__)

_MOST_IN_FLIGHT = 16 << 20
_FULL_POLL_S = 0.02


class ChunkDelivery:
    """Sends the records of the folders, in order per folder, and moves a folder's cursor when a chunk is settled.

    ``folder`` is the relay's own folder, where it stores rejected events and damaged bytes.
    """

    def __init__(
        self,
        topic: str,
        folder: Path,
        tails: OutboxTails,
        sender: KafkaSender,
        framer: Framer,
        metrics: RelayMetrics,
        state_log: StateLog,
    ) -> None:
        self._topic = topic
        self._folder = folder
        self._tails = tails
        self._sender = sender
        self._framer = framer
        self._metrics = metrics
        self._state_log = state_log
        self.sent = 0
        """Events delivered since the relay started."""
        self.moved = False
        """Whether a cursor moved since this was last set to False."""

    def send_next_chunk(self, tail: OutboxTail, now: float) -> bool:
        """Send one folder's next chunk, and return whether one was sent; an error stops only this folder."""
        if self._tails.in_flight >= _MOST_IN_FLIGHT:
            return False
        try:
            chunk = tail.read_chunk(now)
        except Exception as error:  # noqa: BLE001  # a folder may contain anything; the others continue
            self._report(tail, str(error) or type(error).__name__)
            tail.wait(now)
            return False
        if chunk is None:
            return False
        chunk, framed, problem = self._frame(tail, chunk)
        if problem:
            self._report(tail, problem)
            if not framed:
                tail.wait(now)
                return False
        else:
            self._state_log.over(tail.folder.key, f"Folder {tail.folder.key}: delivery continues.")
        sent_chunk = InFlightChunk(chunk)
        tail.add_in_flight(sent_chunk)
        for ready in framed:
            self._send(sent_chunk, ready)
        return True

    def _frame(self, tail: OutboxTail, chunk: RecordChunk) -> tuple[RecordChunk, list[FramedRecord], str]:
        """Frame a chunk's records; end the chunk before the first record that cannot be framed now."""
        framed: list[FramedRecord] = []
        for record in chunk.records:
            try:
                framed.append(self._framer.frame(self._topic, tail.folder.path, record))
            except StumbleError as error:
                end = OutboxCursor(chunk.start.segment, record.offset)
                damages = [damage for damage in chunk.damages if damage.offset < record.offset]
                cut = chunk._replace(end=end, records=chunk.records[: len(framed)], damages=damages)
                return cut, framed, str(error)
        return chunk, framed, ""

    def _send(self, sent_chunk: InFlightChunk, framed: FramedRecord, *, alone: bool = False) -> None:
        while True:
            try:
                error = self._sender.send(self._topic, framed, sent_chunk.delivered, alone=alone)
                break
            except BufferError:
                self._sender.poll(_FULL_POLL_S)
        if error is None:
            sent_chunk.open += 1
        else:
            sent_chunk.refuse(framed.value or b"", error)

    def _report(self, tail: OutboxTail, fault: str) -> None:
        self._state_log.say(tail.folder.key, f"Folder {tail.folder.key} waits: {str(fault).rstrip('.')}.")

    def settle(self, now: float) -> None:
        """Settle every chunk whose delivery reports have all arrived."""
        for tail in self._tails.all():
            while (sent_chunk := tail.oldest_settled(now)) is not None and self._settle_chunk(tail, sent_chunk, now):
                pass

    def _settle_chunk(self, tail: OutboxTail, sent_chunk: InFlightChunk, now: float) -> bool:
        """Settle a chunk whose delivery reports have arrived; return False if the folder has to wait."""
        if sent_chunk.problem is not None:
            self._state_log.say(
                "kafka", f"Kafka did not accept events: {explain_error(sent_chunk.problem, self._topic)}."
            )
            if tail.open_deliveries():
                return False
            tail.rewind(now)
            return False
        try:
            if sent_chunk.refused and not sent_chunk.alone:
                self._send_alone(tail, sent_chunk)
                return False
            refused = self._store_rejected(tail, sent_chunk)
            quarantined = self._quarantine(tail, sent_chunk)
        except (OSError, StumbleError) as error:
            self._report(tail, f"rejected or damaged records cannot be stored: {error}")
            tail.wait(now)
            return False
        sent = sent_chunk.acknowledged
        if sent + refused != sent_chunk.count:  # for any reason: the cursor must not pass an unreported event
            missing = sent_chunk.count - sent - refused
            self._state_log.say("kafka", f"Kafka did not acknowledge {missing} events; they are sent again.")
            tail.rewind(now)
            return False
        tail.complete(rejected=refused, quarantined=quarantined, sent=sent)
        self.moved = True
        self._metrics.sent.inc(sent)
        if sent:
            self.sent += sent
            self._metrics.progressed()
            self._state_log.over("kafka", "Kafka accepts events again; delivery continues.")
        return True

    def _send_alone(self, tail: OutboxTail, sent_chunk: InFlightChunk) -> None:
        """Send each refused record in its own batch: a broker rejects a batch as a whole."""
        candidates = self._refused(tail, sent_chunk)
        sent_chunk.refused, sent_chunk.alone = {}, True
        for _, framed, _ in candidates:
            self._send(sent_chunk, framed, alone=True)

    def _refused(
        self, tail: OutboxTail, sent_chunk: InFlightChunk
    ) -> list[tuple[OutboxRecord, FramedRecord, KafkaError]]:
        """Return the records of a chunk that were refused. Raises ``OSError`` if a segment lacks one."""
        result = []
        for record in tail.records_of(sent_chunk):
            framed = self._framer.frame(self._topic, tail.folder.path, record)
            if framed.value in sent_chunk.refused:
                result.append((record, framed, sent_chunk.refused[framed.value]))
        if {framed.value for _, framed, _ in result} != sent_chunk.refused.keys():
            raise OSError(errno.EIO, "a refused record is no longer in its segment")
        return result

    def _store_rejected(self, tail: OutboxTail, sent_chunk: InFlightChunk) -> int:
        if not sent_chunk.refused:
            return 0
        refused = [(record, error.str()) for record, _, error in self._refused(tail, sent_chunk)]
        rejected.write_rejected(self._folder, tail.folder.key, sent_chunk.chunk.start.segment, refused)
        self._metrics.rejected.inc(len(refused))
        LOG.warning(
            "Kafka rejected %d events of folder %s: %s. They are stored; `stumble outbox ls` lists them.",
            len(refused),
            tail.folder.key,
            refused[0][1],
        )
        return len(refused)

    def _quarantine(self, tail: OutboxTail, sent_chunk: InFlightChunk) -> int:
        damages = sent_chunk.chunk.damages
        if damages:
            rejected.quarantine(self._folder, tail.folder.key, damages)
            self._metrics.quarantined.inc(len(damages))
            LOG.warning(
                "Folder %s has %d damaged records (%d bytes), which were moved to %s.",
                tail.folder.key,
                len(damages),
                sum(len(damage.data) for damage in damages),
                self._folder / rejected.QUARANTINE,
            )
        return len(damages)
