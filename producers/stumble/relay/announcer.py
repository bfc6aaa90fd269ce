"""Sends ``ProducerStatus`` periodically, when a process starts or ends, and before a folder is removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, Message

from stumble.relay import status
from stumble.relay.authority import Authority
from stumble.relay.cursors import Progress
from stumble.relay.delivery import DeliveryTotals
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.outbox_tails import OutboxTails
from stumble.relay.sender import KafkaSender, explain_error
from stumble.runtime.state_log import StateLog
from stumble.settings.base import Settings
from stumble.wire.errors import StumbleError
from stumble.wire.headers import relay_headers

_SUBJECT = "producer status"
_FAULT = "status of a folder"
_CHECK_S = 0.5


class Announcer:
    """Sends the statuses of this relay and of every folder that it serves to the compacted topic."""

    def __init__(
        self,
        settings: Settings,
        authority: Authority,
        framer: Framer,
        sender: KafkaSender,
        state_log: StateLog,
        version: str,
        interval: float,
    ) -> None:
        self._settings = settings
        self._authority = authority
        self._marks = relay_headers(authority.host, is_bridge=False)
        self._framer = framer
        self._sender = sender
        self._state_log = state_log
        self._version = version
        self._interval = interval
        self._topic = settings.kafka.topics.producers
        self._next_at = self._check_at = 0.0
        self._open = 0
        self._reported: dict[str, tuple[bool, dict[str, Any]]] = {}

    def run_once(self, now: float, tails: OutboxTails, totals: DeliveryTotals) -> None:
        """Send every status that is due, unless earlier ones are not acknowledged yet."""
        if self._open or (now < self._next_at and now < self._check_at):
            return
        self._check_at = now + _CHECK_S
        # During an outage one status waits in the client: its delivery shows that the outage is over.
        all_due = now >= self._next_at or self._sender.unreachable
        changed = [tail for key in tails.unreported if (tail := tails.find(key)) and self._has_news(tail)]
        tails.unreported.clear()
        for tail in tails.all() if all_due else changed:
            self._report(tail, alive=tail.alive)
        if all_due or changed:
            item = status.of_relay(self._settings, tails.all(), totals, self._version)
            self._send(item, self._marks)
        if all_due:
            self._next_at = now + self._interval

    def _has_news(self, tail: OutboxTail) -> bool:
        """Return whether the process started, ended or changed ``about.json`` since its last status."""
        return self._reported.get(tail.folder.key) != (tail.alive, tail.about)

    @property
    def is_waiting(self) -> bool:
        """Whether a status was sent that Kafka has not acknowledged."""
        return self._open > 0

    def report_ended(self, tail: OutboxTail) -> None:
        """Send the final status of a folder whose process is dead and whose events are delivered."""
        self._report(tail, alive=False)
        self._reported.pop(tail.folder.key, None)

    def report_forgotten(self, process: str, progress: Progress) -> None:
        """Send a tombstone for a process whose folder was removed long ago."""
        key = status.key(progress.host or self._authority.host, process)
        self._queue(FramedRecord(key, None, self._marks))
        self._reported.pop(process, None)

    def _report(self, tail: OutboxTail, *, alive: bool) -> None:
        """Send the status of one folder; a fault of its files stops no other status."""
        try:
            item = status.of_folder(tail, self._authority) | {"alive": alive}
            self._send(item, tail.headers)
        except Exception as error:  # noqa: BLE001  # a folder may contain anything
            self._state_log.say(
                _FAULT, f"The status of {tail.folder.key} cannot be sent: {error or type(error).__name__}."
            )
            return
        if tail.progress.host and tail.progress.host != item["host"]:  # after a change of `hosts`
            self.report_forgotten(tail.folder.key, tail.progress)
        self._reported[tail.folder.key] = (tail.alive, tail.about)
        tail.progress.host = item["host"]

    def _send(self, item: dict[str, Any], marks: Sequence[tuple[str, bytes]]) -> None:
        with suppress(StumbleError):  # registry unavailable: the next status replaces this one
            self._queue(status.framed(item, self._framer, self._topic, marks))

    def _queue(self, framed: FramedRecord) -> None:
        with suppress(BufferError):
            if self._sender.send(self._topic, framed, self._delivered) is None:
                self._open += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:  # noqa: ARG002  # librdkafka's signature
        self._open -= 1
        if error is None:
            self._sender.note_answer()
            self._state_log.over(_SUBJECT, "Statuses are delivered again.")
        else:
            self._state_log.say(_SUBJECT, f"Kafka did not accept a status: {explain_error(error, self._topic)}.")
