"""Notifications from RabbitMQ through oslo.messaging's own listener, with queues of the bridge's own."""

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
    """What oslo.messaging calls, one method a priority; the message is acknowledged when it returns HANDLED."""

    def __init__(self, intake: NotificationWriter, stopping: threading.Event) -> None:
        self._intake = intake
        self._stopping = stopping
        for priority in _PRIORITIES:
            setattr(self, priority, self._take)

    def _take(self, ctxt: Any, publisher_id: str, event_type: str, payload: Any, metadata: Mapping[str, Any]) -> str:
        message = {"publisher_id": publisher_id, "event_type": event_type, "payload": payload, **metadata}
        if self._intake.write_notification(message, ctxt if isinstance(ctxt, Mapping) else {}):
            return str(_HANDLED)
        self._stopping.wait(_PAUSE_S)  # the outbox is full: ask the broker again, not in a hurry
        return str(_REQUEUE)


class RabbitTransport:
    """Reads one RabbitMQ until it is told to stop; waits for a server that is down, as oslo.messaging does."""

    def __init__(self, settings: TransportSettings, intake: NotificationWriter) -> None:
        self._settings = settings
        self.reading = False
        self._listener: Any = None
        self._stopping = threading.Event()
        self._endpoint = _Endpoint(intake, self._stopping)

    def run(self) -> None:
        """Read until ``stop``. Raises what oslo.messaging finds wrong with the configuration."""
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
        listener.start(override_pool_size=1)  # one thread: in the order of the queue
        self._listener = listener
        self.reading = True
        LOG.info("Reading notifications of transport %s from RabbitMQ: %s.", settings.name, ", ".join(settings.topics))
        self._stopping.wait()
        listener.stop()
        listener.wait()
        transport.cleanup()

    def connected(self) -> bool:
        """Tell whether its server is there now: oslo.messaging waits for one that went away, and tells nobody."""
        if not self.reading:
            return False
        session = self._listener.listener._poll_style_listener.conn.connection  # noqa: SLF001 - there is no other way
        return bool(session.connection.connected)  # kombu's

    def stop(self) -> None:
        """End ``run`` once the message in hand is done."""
        self._stopping.set()
