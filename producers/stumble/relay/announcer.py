"""Sends ``ProducerStatus`` periodically, when a process starts or ends, and before a folder is removed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, Message

from stumble.relay import status
from stumble.relay.cursors import Progress
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.sender import KafkaSender, explain_error
from stumble.runtime.state_log import StateLog
from stumble.settings.base import Settings
from stumble.wire.errors import StumbleError

_SUBJECT = "producer status"
_CHECK_S = 0.5


class Announcer:
    """Sends the statuses of this relay and of every folder that it serves to the compacted topic."""

    def __init__(
        self,
        settings: Settings,
        framer: Framer,
        sender: KafkaSender,
        state_log: StateLog,
        version: str,
        interval: float,
    ) -> None:
        self._settings = settings
        self._framer = framer
        self._sender = sender
        self._state_log = state_log
        self._version = version
        self._interval = interval
        self._topic = settings.kafka.topics.producers
        self._next_at = self._check_at = 0.0
        self._open = 0
        self._reported: dict[str, tuple[bool, float]] = {}

    def run_once(self, now: float, tails: list[OutboxTail], sent: int) -> None:
        """Send every status that is due, unless earlier ones are not acknowledged yet.

        ``sent``: events delivered since the relay started.
        """
        if self._open or (now < self._next_at and now < self._check_at):
            return
        self._check_at = now + _CHECK_S
        all_due, changed = now >= self._next_at, self._changed(tails)
        if not all_due and not changed:
            return
        result = {tail.folder.key: status.of_folder(tail, self._settings.host) for tail in tails}
        for key, item in result.items():
            if all_due or key in changed:
                self._send(item)
        self._send(status.of_relay(self._settings, list(result.values()), sent, self._version))
        if all_due:
            self._next_at = now + self._interval

    def _changed(self, tails: list[OutboxTail]) -> set[str]:
        """Return the folders whose process started, ended or changed ``about.json`` since the last call."""
        current = {tail.folder.key: (tail.alive, tail.reported_at()) for tail in tails}
        changed = {key for key, state in current.items() if self._reported.get(key) != state}
        self._reported = current
        return changed

    def report_ended(self, tail: OutboxTail) -> None:
        """Send the final status of a folder whose process is dead and whose events are delivered."""
        self._send(status.of_folder(tail, self._settings.host) | {"alive": False})

    def report_forgotten(self, process: str, progress: Progress) -> None:
        """Send a tombstone for a process whose folder was removed long ago."""
        key = status.key(progress.host or self._settings.host, process)
        self._queue(FramedRecord(key, None, []))

    def _send(self, item: dict[str, Any]) -> None:
        with suppress(StumbleError):  # registry unavailable: the next status replaces this one
            self._queue(status.framed(item, self._framer, self._topic))

    def _queue(self, framed: FramedRecord) -> None:
        with suppress(BufferError):
            if self._sender.send(self._topic, framed, self._delivered) is None:
                self._open += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:  # noqa: ARG002  # librdkafka's signature
        self._open -= 1
        if error is None:
            self._state_log.over(_SUBJECT, "Statuses are delivered again.")
        else:
            self._state_log.say(_SUBJECT, f"Kafka did not accept a status: {explain_error(error, self._topic)}.")
