"""Sends ``ProducerStatus`` at its times, at once where a process began or ended, and the last word of a folder."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, Message

from stumble.relay import status
from stumble.relay.cursors import Progress
from stumble.relay.framing import FramedRecord, Framer
from stumble.relay.outbox_tail import OutboxTail
from stumble.relay.sender import KafkaSender, explain
from stumble.runtime.state_log import StateLog
from stumble.settings.base import Settings
from stumble.wire.errors import StumbleError

_ABOUT = "producer status"
_LOOK_S = 0.5


class Announcer:
    """Tells the compacted topic of this relay and of every folder it serves."""

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
        self._next_at = self._look_at = 0.0
        self._open = 0
        self._lives: dict[str, tuple[bool, float]] = {}

    def run_once(self, now: float, tails: list[OutboxTail], sent: int) -> None:
        """Send every status when it is time, unless the last ones still wait for the broker.

        ``sent``: events delivered since the relay started.
        """
        if self._open or (now < self._next_at and now < self._look_at):
            return
        self._look_at = now + _LOOK_S
        whole, changed = now >= self._next_at, self._changed(tails)
        if not whole and not changed:
            return
        result = {tail.folder.key: status.of_feed(tail, self._settings.host) for tail in tails}
        for key, item in result.items():
            if whole or key in changed:
                self._send(item)
        self._send(status.of_relay(self._settings, list(result.values()), sent, self._version))
        if whole:
            self._next_at = now + self._interval

    def _changed(self, tails: list[OutboxTail]) -> set[str]:
        """Return the folders whose process began, ended or says something else of itself since the last look."""
        lives = {tail.folder.key: (tail.alive, tail.reported_at()) for tail in tails}
        changed = {key for key, life in lives.items() if self._lives.get(key) != life}
        self._lives = lives
        return changed

    def report_ended(self, tail: OutboxTail) -> None:
        """Tell that a folder's process is dead and all of it was delivered."""
        self._send(status.of_feed(tail, self._settings.host) | {"alive": False})

    def report_forgotten(self, process: str, progress: Progress) -> None:
        """Let the topic forget a process that has been gone for long."""
        key = status.key(progress.host or self._settings.host, process)
        self._queue(FramedRecord(key, None, []))

    def _send(self, item: dict[str, Any]) -> None:
        with suppress(StumbleError):  # no registry: a status that can't be sent now is outdated by the next
            self._queue(status.framed(item, self._framer, self._topic))

    def _queue(self, framed: FramedRecord) -> None:
        with suppress(BufferError):
            if self._sender.send(self._topic, framed, self._delivered) is None:
                self._open += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:  # noqa: ARG002  # librdkafka's signature
        self._open -= 1
        if error is None:
            self._state_log.over(_ABOUT, "Statuses are delivered again.")
        else:
            self._state_log.say(_ABOUT, f"Kafka did not accept a status: {explain(error, self._topic)}.")
