"""Sends chunks from the folders to the broker, and settles each one after its delivery reports."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import KafkaError

from stumble.outbox import OutboxCursor, OutboxRecord, RecordChunk
from stumble.relay import rejected
from stumble.relay.folder_faults import FolderFaults
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.in_flight import InFlightChunk
from stumble.relay.metrics import RelayMetrics
from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.outbox_tails import OutboxTails
from stumble.relay.record_check import CheckedRecords, RecordCheck
from stumble.relay.sender import KafkaSender, explain_error
from stumble.runtime.state_log import StateLog
from stumble.wire.errors import StumbleError

_MOST_IN_FLIGHT = 16 << 20
_FULL_POLL_S = 0.02


class DeliveryTotals(NamedTuple):
    """Events delivered, events rejected by the relay or the broker, damaged records; since the relay started."""

    sent: int
    rejected: int
    quarantined: int


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
        check: RecordCheck,
        faults: FolderFaults,
        metrics: RelayMetrics,
        state_log: StateLog,
    ) -> None:
        self._topic = topic
        self._folder = folder
        self._tails = tails
        self._sender = sender
        self._framer = framer
        self._check = check
        self._faults = faults
        self._metrics = metrics
        self._state_log = state_log
        self.sent = 0
        """Events delivered since the relay started."""
        self.rejected = 0
        """Events that the relay or the broker rejected since the relay started."""
        self.quarantined = 0
        """Damaged records since the relay started."""
        self.moved = False
        """Whether a cursor moved since this was last set to False."""

    def totals(self) -> DeliveryTotals:
        """Return the totals since the relay started."""
        return DeliveryTotals(self.sent, self.rejected, self.quarantined)

    def send_chunks(self, tails: list[OutboxTail], now: float) -> int:
        """Send the next chunk of each folder, and return their number; an error stops only its folder."""
        room, sent = _MOST_IN_FLIGHT - self._tails.in_flight, 0
        for tail in tails:
            try:
                if tail.inspect(now):
                    self._tails.changed(tail)
                if room > 0 and (size := self._send_next_chunk(tail, now)):
                    room, sent = room - size, sent + 1
            except Exception as error:  # noqa: BLE001  # a folder may contain anything; the others continue
                self._wait(tail, error, now)
            self._tails.visited(tail)
        return sent

    def _send_next_chunk(self, tail: OutboxTail, now: float) -> int:
        """Send one folder's next chunk, and return its size. Raises ``OSError`` and ``NewerFormat``."""
        chunk = tail.read_chunk(now)
        if chunk is None:
            if tail.exhausted and not tail.unstored and not tail.is_waiting(now):
                self._faults.clear(tail.folder.key)
            return 0
        result = self._check.check(tail.folder, tail.files, chunk.records)
        faults = result.faults
        if faults:  # a chunk in flight that cannot be settled would use up the bytes that all folders share
            rejected.check_space(self._folder, rejected.MOST_BYTES_OF_RELAY)
        chunk, framed, problem = self._frame(tail, chunk, result)
        if problem is None:
            if not tail.unstored:
                self._faults.clear(tail.folder.key)
        elif chunk.end == chunk.start:
            self._wait(tail, problem, now)
            return 0
        else:
            self._faults.report(tail.folder.key, problem)
        sent_chunk = InFlightChunk(chunk, {at: text for at, text in faults.items() if at < chunk.end.offset})
        tail.add_in_flight(sent_chunk)
        for ready in framed:
            self._send(sent_chunk, ready)
        return max(sent_chunk.size, 1)

    def _frame(
        self, tail: OutboxTail, chunk: RecordChunk, result: CheckedRecords
    ) -> tuple[RecordChunk, list[FramedRecord], StumbleError | None]:
        """Frame a chunk's accepted records; end the chunk before the first record that cannot be sent now."""
        framed: list[FramedRecord] = []
        for number, record in enumerate(chunk.records[: result.checked]):
            if record.offset in result.faults:
                continue
            try:
                framed.append(self._framer.frame(self._topic, tail.files, record, tail.headers))
            except StumbleError as error:
                return _cut(chunk, number), framed, error
        return _cut(chunk, result.checked), framed, result.problem

    def _wait(self, tail: OutboxTail, fault: Exception, now: float) -> None:
        self._faults.report(tail.folder.key, fault)
        tail.wait(now)

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

    def settle(self, now: float) -> None:
        """Settle every chunk whose delivery reports have all arrived."""
        for tail in self._tails.busy():
            try:
                while (sent_chunk := tail.oldest_settled(now)) and self._settle_chunk(tail, sent_chunk, now):
                    pass
            except Exception as error:  # noqa: BLE001  # a folder may contain anything; the others continue
                text = error.strerror if isinstance(error, OSError) else None
                fault = StumbleError(f"rejected or damaged records cannot be stored: {text or error}")
                self._faults.report(tail.folder.key, fault)
                tail.unstored = True
                if tail.open_deliveries():
                    tail.wait_to_settle(now)
                else:  # release the bytes in flight, which all folders share
                    self._rewind(tail, now)

    def _settle_chunk(self, tail: OutboxTail, sent_chunk: InFlightChunk, now: float) -> bool:
        """Settle a chunk whose delivery reports have arrived; return False if the folder has to wait.

        Raises ``OSError`` and ``StumbleError`` if rejected or damaged records cannot be stored.
        """
        if sent_chunk.problem is not None:
            self._state_log.say(
                "kafka", f"Kafka did not accept events: {explain_error(sent_chunk.problem, self._topic)}."
            )
            if tail.open_deliveries():
                return False
            self._rewind(tail, now)
            return False
        if sent_chunk.refused and not sent_chunk.alone:
            self._send_alone(tail, sent_chunk)
            return False
        refused = self._store_rejected(tail, sent_chunk)
        quarantined = self._quarantine(tail, sent_chunk)
        sent = sent_chunk.acknowledged
        if sent + refused != sent_chunk.count:  # for any reason: the cursor must not pass an unreported event
            missing = sent_chunk.count - sent - refused
            self._state_log.say("kafka", f"Kafka did not acknowledge {missing} events; they are sent again.")
            self._rewind(tail, now)
            return False
        tail.complete(rejected=refused, quarantined=quarantined, sent=sent)
        if tail.unstored:
            tail.unstored = False
            self._faults.clear(tail.folder.key)
        self._tails.settled(tail)
        self.moved = True
        self._metrics.sent.inc(sent)
        if sent:
            self.sent += sent
            self._metrics.progressed()
            self._sender.note_answer()
            self._state_log.over("kafka", "Kafka accepts events again; delivery continues.")
        return True

    def _rewind(self, tail: OutboxTail, now: float) -> None:
        tail.rewind(now)
        self._tails.settled(tail)

    def rewind_all(self, now: float) -> None:
        """Return to the cursors, after the producer has lost what was queued."""
        for tail in self._tails.busy():
            self._rewind(tail, now)

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
            if record.offset in sent_chunk.faults:
                continue
            framed = self._framer.frame(self._topic, tail.files, record, tail.headers)
            if framed.value in sent_chunk.refused:
                result.append((record, framed, sent_chunk.refused[framed.value]))
        if {framed.value for _, framed, _ in result} != sent_chunk.refused.keys():
            raise OSError(errno.EIO, "a refused record is no longer in its segment")
        return result

    def _store_rejected(self, tail: OutboxTail, sent_chunk: InFlightChunk) -> int:
        """Store the records that the relay or the broker rejected; return their number. Raises ``OSError``."""
        folder, segment, faults = tail.folder, sent_chunk.chunk.start.segment, sent_chunk.faults
        if faults:
            records = [record for record in tail.records_of(sent_chunk) if record.offset in faults]
            reasons = [(record, f"the relay: {faults[record.offset]}") for record in records]
            rejected.write_rejected(self._folder, folder.key, segment, reasons, rejected.MOST_BYTES_OF_RELAY)
            self._log_rejected(tail, "The relay", len(faults), next(iter(faults.values())))
        if sent_chunk.refused:
            refused = [(record, error.str()) for record, _, error in self._refused(tail, sent_chunk)]
            rejected.write_rejected(self._folder, folder.key, segment, refused)
            self._log_rejected(tail, "Kafka", len(refused), refused[0][1])
            return len(faults) + len(refused)
        return len(faults)

    def _log_rejected(self, tail: OutboxTail, who: str, count: int, reason: str) -> None:
        self._metrics.rejected.inc(count)
        self.rejected += count
        text = f"{who} rejected {count} events of folder {tail.folder.key}: {reason.rstrip('.')}. They are stored"
        self._state_log.repeat(f"{who} rejected {tail.folder.uid}", f"{text}; `stumble outbox ls` lists them.")

    def _quarantine(self, tail: OutboxTail, sent_chunk: InFlightChunk) -> int:
        damages = sent_chunk.chunk.damages
        if damages:
            stored = rejected.quarantine(self._folder, tail.folder.key, damages)
            self._metrics.quarantined.inc(len(damages))
            self.quarantined += len(damages)
            size = sum(len(damage.data) for damage in damages)
            text = f"Folder {tail.folder.key} has {len(damages)} damaged records ({size} bytes)"
            end = f"the relay moved them to {rejected.QUARANTINE}/ beside its cursors"
            if stored < len(damages):
                end = f"the relay drops {len(damages) - stored} of them, since {rejected.QUARANTINE}/ is full"
            self._state_log.repeat(f"damaged {tail.folder.uid}", f"{text}; {end}.")
        return len(damages)


def _cut(chunk: RecordChunk, count: int) -> RecordChunk:
    """Return a chunk with its first ``count`` records, and with the damages before the next one."""
    if count == len(chunk.records):
        return chunk
    offset = chunk.records[count].offset
    damages = [damage for damage in chunk.damages if damage.offset < offset]
    end = OutboxCursor(chunk.start.segment, offset) if count or damages else chunk.start
    return chunk._replace(end=end, records=chunk.records[:count], damages=damages)
