"""Reads notifications from RabbitMQ with oslo.messaging's listener and the bridge's own queues."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from stumble.bridge.notification_writer import NotificationWriter
from stumble.bridge.oslo import cfg, oslo_messaging
from stumble.bridge.settings import TransportSettings

LOG = logging.getLogger(__name__)

_PRIORITIES = ("audit", "debug", "info", "warn", "error", "critical", "sample")
_HANDLED, _REQUEUE = oslo_messaging.NotificationResult.HANDLED, oslo_messaging.NotificationResult.REQUEUE
_PAUSE_S = 1.0


class _Endpoint:
    """Endpoint for oslo.messaging, with one method per priority; the result HANDLED acknowledges the message."""

    def __init__(self, writer: NotificationWriter, stopping: threading.Event) -> None:
        self._writer = writer
        self._stopping = stopping
        for priority in _PRIORITIES:
            setattr(self, priority, self._write)

    def _write(self, ctxt: Any, publisher_id: str, event_type: str, payload: Any, metadata: Mapping[str, Any]) -> str:
        message = {"publisher_id": publisher_id, "event_type": event_type, "payload": payload, **metadata}
        if self._writer.write_notification(message, ctxt if isinstance(ctxt, Mapping) else {}):
            return str(_HANDLED)
        self._stopping.wait(_PAUSE_S)  # the outbox is full: wait before the broker delivers the message again
        return str(_REQUEUE)


class RabbitTransport:
    """Reads one RabbitMQ until ``stop``; waits for a server that is down, as oslo.messaging does."""

    def __init__(self, settings: TransportSettings, writer: NotificationWriter) -> None:
        self._settings = settings
        self.reading = False
        self._listener: Any = None
        self._stopping = threading.Event()
        self._endpoint = _Endpoint(writer, self._stopping)

    def run(self) -> None:
        """Read until ``stop``. Raises oslo.messaging's exceptions for a wrong configuration."""
        settings = self._settings
        conf = cfg.ConfigOpts()
        conf([], project="stumble-bridge", default_config_files=[], default_config_dirs=[])
        transport = oslo_messaging.get_notification_transport(conf, url=settings.url.get_secret_value())
        for name, value in settings.options.items():
            conf.set_override(name, value, group="oslo_messaging_rabbit")
        listener = oslo_messaging.get_notification_listener(
            transport,
            [oslo_messaging.Target(topic=topic, exchange=settings.exchange) for topic in settings.topics],
            [self._endpoint],
            executor="threading",
            allow_requeue=True,
            pool=settings.pool,
        )
        listener.start(override_pool_size=1)  # one thread preserves the order of the queue
        self._listener = listener
        self.reading = True
        LOG.info("Reading notifications of transport %s from RabbitMQ: %s.", settings.name, ", ".join(settings.topics))
        self._stopping.wait()
        listener.stop()
        listener.wait()
        transport.cleanup()

    def connected(self) -> bool:
        """Return whether the server is connected now; oslo.messaging waits for a lost server without a report."""
        if not self.reading:
            return False
        session = self._listener.listener._poll_style_listener.conn.connection  # noqa: SLF001 - no public API shows it
        return bool(session.connection.connected)  # attribute of kombu

    def stop(self) -> None:
        """End ``run`` after the current message."""
        self._stopping.set()
