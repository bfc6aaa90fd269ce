"""Reads notifications from Kafka; commits after processing, unlike oslo.messaging's consumer, which can lose some."""

from __future__ import annotations

import json
import logging
import re
import threading
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from stumble.bridge.envelope import unwrap_notification
from stumble.bridge.notification_writer import NotificationWriter
from stumble.bridge.settings import TransportSettings

LOG = logging.getLogger(__name__)

_PRIORITIES = "audit|debug|info|warn|error|critical|sample"
_BATCH = 500
_POLL_S = 0.2
_PAUSE_S = 1.0
#: oslo.messaging's topics appear with their first message; librdkafka's default would find them after 5 minutes.
_METADATA_AGE_MS = 10_000
#: A killed bridge holds its partitions for at most this time.
_SESSION_MS = 8_000
_STATISTICS_MS = 2_000
#: A broker answers heartbeats and fetches every second or two; one that is silent for longer is away, microseconds.
_SILENT_US = 20_000_000


def topic_patterns(settings: TransportSettings) -> list[str]:
    """Return patterns for oslo.messaging's topic names: ``<topic>.<priority>``, and ``.<vhost>`` if one is used."""
    vhost = urlsplit(settings.url.get_secret_value()).path.strip("/")
    tail = re.escape(f".{vhost}") if vhost else ""
    return [f"^{re.escape(topic)}\\.({_PRIORITIES}){tail}$" for topic in settings.topics]


def consumer_config(settings: TransportSettings) -> dict[str, Any]:
    """Return the consumer's configuration; offsets are committed only after the outbox has the events."""
    parts = urlsplit(settings.url.get_secret_value())
    secured = {"sasl.username": parts.username, "sasl.password": parts.password} if parts.username else {}
    return {
        "bootstrap.servers": parts.netloc.rpartition("@")[2],
        "group.id": settings.pool,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": _SESSION_MS,
        "heartbeat.interval.ms": _SESSION_MS // 4,
        "topic.metadata.refresh.interval.ms": _METADATA_AGE_MS,
        **secured,
        **settings.options,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


class KafkaTransport:
    """Reads one Kafka cluster until ``stop``; waits for brokers that are down, as librdkafka does."""

    def __init__(self, settings: TransportSettings, writer: NotificationWriter) -> None:
        self._settings = settings
        self._writer = writer
        self.reading = True
        self._connected = False
        self._stopping = threading.Event()

    def run(self) -> None:
        """Read until ``stop``. Raises ``KafkaException`` for a configuration that librdkafka rejects."""
        config = consumer_config(self._settings)
        consumer = Consumer({**config, "statistics.interval.ms": _STATISTICS_MS, "stats_cb": self._on_statistics})
        try:
            consumer.subscribe(topic_patterns(self._settings))
            LOG.info("Reading notifications of transport %s from Kafka.", self._settings.name)
            while not self._stopping.is_set():
                messages = [item for item in consumer.consume(_BATCH, _POLL_S) if self._usable(item)]
                for message in messages:
                    self._write(message)
                    if self._stopping.is_set():
                        return
                    consumer.store_offsets(message)
                if messages:
                    self._commit(consumer)
        finally:
            consumer.close()

    def connected(self) -> bool:
        """Return whether a broker was connected and had answered lately in the last statistics (every 2 s)."""
        return self._connected

    def stop(self) -> None:
        """End ``run`` after the current message."""
        self._stopping.set()

    def _on_statistics(self, statistics: str) -> None:
        brokers = json.loads(statistics)["brokers"].values()
        self._connected = any(one["state"] == "UP" and one["rxidle"] < _SILENT_US for one in brokers)

    def _usable(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            LOG.warning("Transport %s: Kafka reports %s; reading continues.", self._settings.name, error.str())
        return False

    def _write(self, message: Message) -> None:
        try:
            body, context = unwrap_notification(message.value() or b"")
        except ValueError:
            body, context = {"event_type": None, "payload": repr(message.value())}, {}
        while not self._writer.write_notification(body, context) and not self._stopping.wait(_PAUSE_S):
            pass  # the outbox is full: nothing is lost, Kafka still has the rest

    def _commit(self, consumer: Consumer) -> None:
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:  # the next commit includes these offsets; a repeat is harmless
            LOG.warning("Transport %s: offsets cannot be committed now: %s", self._settings.name, error)
