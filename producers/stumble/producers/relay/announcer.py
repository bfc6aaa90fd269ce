"""Sends ``ProducerStatus`` at its times, and the last word about a folder that is gone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, Message

from stumble.producers.relay import status
from stumble.producers.relay.cursors import Progress
from stumble.producers.relay.feed import Feed
from stumble.producers.relay.framing import Framed, Framer
from stumble.producers.relay.sender import Sender, explain
from stumble.producers.relay.trouble import Troubles
from stumble.schemas.models.settings import Settings
from stumble.schemas.wire.errors import StumbleError

_ABOUT = "producer status"


class Announcer:
    """Tells the compacted topic of this relay and of every folder it serves."""

    def __init__(
        self, settings: Settings, framer: Framer, sender: Sender, troubles: Troubles, version: str, interval: float
    ) -> None:
        self._settings = settings
        self._framer = framer
        self._sender = sender
        self._troubles = troubles
        self._version = version
        self._interval = interval
        self._topic = settings.kafka.topics.producers
        self._next_at = 0.0
        self._open = 0

    def turn(self, now: float, feeds: list[Feed], sent: int) -> None:
        """Send every status when it is time, unless the last ones still wait for the broker.

        ``sent``: events delivered since the relay started.
        """
        if now < self._next_at or self._open:
            return
        self._next_at = now + self._interval
        found = [status.of_feed(feed, self._settings.host) for feed in feeds]
        found.append(status.of_relay(self._settings, found, sent, self._version))
        for item in found:
            self._send(item)

    def last_word(self, feed: Feed) -> None:
        """Tell that a folder's process is dead and all of it was delivered."""
        self._send(status.of_feed(feed, self._settings.host) | {"alive": False})

    def forgotten(self, process: str, progress: Progress) -> None:
        """Let the topic forget a process that has been gone for long."""
        key = status.key(progress.host or self._settings.host, process)
        self._queue(Framed(key, None, []))

    def _send(self, item: dict[str, Any]) -> None:
        with suppress(StumbleError):  # no registry: a status that can't be sent now is outdated by the next
            self._queue(status.framed(item, self._framer, self._topic))

    def _queue(self, framed: Framed) -> None:
        with suppress(BufferError):
            if self._sender.send(self._topic, framed, self._delivered) is None:
                self._open += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:  # noqa: ARG002  # librdkafka's signature
        self._open -= 1
        if error is None:
            self._troubles.end(_ABOUT)
        else:
            self._troubles.begin(_ABOUT, explain(error, self._topic))
